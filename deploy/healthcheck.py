"""Whether the service in this container can judge: exit code 0 or 1."""

import os
import sys
import urllib.error
import urllib.request

url = f"http://127.0.0.1:{os.environ.get('AASIST_PORT', '8000')}/readyz"
try:
    with urllib.request.urlopen(url, timeout=4) as answer:
        sys.exit(answer.status != 200)
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"{url}: {error}")
