"""A deferred module costs nothing until it is used, and is the real one then."""

import subprocess
import sys

SCRIPT = """
import sys
from feature_repo.deferred import defer
defer("xml.dom.minidom", "decimal")
import decimal
from xml.dom import minidom
names = ("_decimal", "xml.dom.expatbuilder", "xml.dom.xmlbuilder")
assert not any(name in sys.modules for name in names)
assert str(decimal.Decimal("1.10") + 1) == "2.10"
assert minidom.parseString("<a/>").documentElement.tagName == "a"
import decimal as real
assert real.__file__ and sys.modules["decimal"] is real
"""


def test_a_deferred_module_is_imported_at_its_first_use() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)


def test_a_module_that_was_imported_stays() -> None:
    from feature_repo.deferred import defer

    defer("subprocess")

    assert sys.modules["subprocess"] is subprocess
