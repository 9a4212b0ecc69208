"""See to what the tests need of the system: the libraries of the PDF, and a browser for the page.

Found, or installed by apt, or named in a sentence. Without the libraries nothing goes on; without
a browser the tests of the page's script are skipped, and say so.
"""

import os
import shutil
import subprocess
import sys

PACKAGES = [
    "libpango-1.0-0",
    "libpangoft2-1.0-0",
    "libharfbuzz-subset0",
    "fonts-dejavu-core",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROBE = (
    "import warnings; warnings.filterwarnings('error', message='HarfBuzz'); "
    "import weasyprint; weasyprint.HTML(string='<p>a</p>').write_pdf()"
)


def works() -> bool:
    """Whether WeasyPrint finds Pango and HarfBuzz-Subset, without a warning."""
    command = [sys.executable, "-c", PROBE]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def browser() -> bool:
    """Whether a browser is there that the tests can drive."""
    return any(map(shutil.which, BROWSERS))


def install(packages: list[str], purpose: str) -> None:
    """Try apt, as root or by a sudo that asks nothing."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (prefix and shutil.which("sudo") is None):
        return
    print(f"Installing {purpose}:", *packages, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = [*prefix, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    if subprocess.run(install, env=environment, capture_output=True, check=False).returncode:
        update = [*prefix, "apt-get", "update", "-q"]
        subprocess.run(update, env=environment, capture_output=True, check=False)
        subprocess.run(install, env=environment, capture_output=True, check=False)


if not works():
    install(PACKAGES, "the PDF libraries")
    if not works():
        sys.exit(
            "The PDF report needs Pango and HarfBuzz-Subset. Install them with your package "
            f"manager (Debian, Ubuntu: apt-get install {' '.join(PACKAGES)}; macOS: brew install "
            "pango), then run make again."
        )

# Only the tests ask for it, and only in a container or in CI is it laid down unasked: it is large.
if "browser" in sys.argv[1:] and not browser():
    if os.geteuid() == 0 or os.environ.get("CI"):
        install(["chromium"], "a browser for the tests of the report's page")
    if not browser():
        print("No Chromium or Chrome was found: the tests of the report's page will be skipped.")
