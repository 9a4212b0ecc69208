"""See to the system libraries of the PDF: found, or installed by apt, or named in a sentence."""

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
PROBE = (
    "import warnings; warnings.filterwarnings('error', message='HarfBuzz'); "
    "import weasyprint; weasyprint.HTML(string='<p>a</p>').write_pdf()"
)


def works() -> bool:
    """Whether WeasyPrint finds Pango and HarfBuzz-Subset, without a warning."""
    command = [sys.executable, "-c", PROBE]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def install() -> None:
    """Try apt, as root or by a sudo that asks nothing."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (prefix and shutil.which("sudo") is None):
        return
    print("Installing the PDF libraries:", *PACKAGES, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = [*prefix, "apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
    if subprocess.run(install, env=environment, capture_output=True, check=False).returncode:
        update = [*prefix, "apt-get", "update", "-q"]
        subprocess.run(update, env=environment, capture_output=True, check=False)
        subprocess.run(install, env=environment, capture_output=True, check=False)


if not works():
    install()
    if not works():
        sys.exit(
            "The PDF report needs Pango and HarfBuzz-Subset. Install them with your package "
            f"manager (Debian, Ubuntu: apt-get install {' '.join(PACKAGES)}; macOS: brew install "
            "pango), then run make again."
        )
