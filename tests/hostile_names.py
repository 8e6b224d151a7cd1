"""Names that a folder may have and that some syntax reads as something else, each with what reads it so."""

NAMES = {
    "uri_fragment": "C# demo",
    "uri_query": "a?mode=rwc",
    "percent": "100% %41 %(x)s",
    "class": "[ab]",
    "star": "*",
    "braces": "{a,b} {c}",
    "hive": "origin=JFK",
    "quotes": 'it\'s "said"',
    "backslash": "a\\n",
    "shell": "`id` $(id) ; & | < > !",
    "variable": "$HOME ${HOME}",
    "option": "-rf",
    "markup": "<b> [red] &amp;",
    "yaml": "- a: b # c",
    "sql": "x'); DROP TABLE flights; --",
    "letters": "é日本",
    "blanks": " a  b ",
}
DECOYS = {"class": "a", "star": "other", "braces": "a {c}"}  # what the name would match if it were a pattern
EVERYTHING = 'C# d%4 *{c} it\'s "$ " origin=JFK `id` <b>(red) é日'
# No lake can lie in these: the library of its tables makes a URL of the folder and reads another back.
REFUSED = ("percent", "class", "backslash", "shell", "markup")
