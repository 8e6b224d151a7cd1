"""A command for tests of the operator: prints its second argument and ends with its first.

Asked to `stay`, it starts a child, writes its pid into the file that the second argument names, and does not end.
"""

import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    code, text = sys.argv[1:]
    if code == "stay":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(text).write_text(str(child.pid))
        time.sleep(600)
    print(text)
    sys.exit(int(code))
