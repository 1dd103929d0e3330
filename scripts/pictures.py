"""Take the README's screenshots of the scope during a stall, in JupyterLab, light and dark.

Needs Chromium. They are taken anew, never retouched, so they show what a reader will see.
"""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "pictures"
SCOPE = "import time, loopclinic\nscope = loopclinic.Scope()\nscope"
FREEZE = "async def charge():\n    time.sleep(6)\n\nawait charge()"


def main() -> int:
    """Write pictures/scope-{light,dark}.png and say so."""
    sys.path.insert(0, str(ROOT))
    from playwright.sync_api import sync_playwright  # not in the kit

    from tests.browser.jupyterlab import FLAGS, chromium, new_page, running_lab

    path = chromium()
    if path is None:
        print("Chromium is missing: install it (Debian: apt-get install chromium).")
        return 2
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for theme in ("light", "dark"):
            notebook_path = lab.write(f"scope-{theme}.ipynb", SCOPE, FREEZE)
            with new_page(browser, dark=theme == "dark", width=1400, height=1300) as page:
                notebook = lab.open(page, notebook_path)
                notebook.run(0)
                page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=30_000)
                time.sleep(4)  # some calm to see the stall against
                notebook.start(1)
                page.locator('.lc-scope[data-state="stalled"]').wait_for(timeout=5_000)
                time.sleep(2.5)
                file = PICTURES / f"scope-{theme}.png"
                first, last = (notebook.cell(number).bounding_box() for number in (0, 1))
                if first is None or last is None:
                    raise RuntimeError("JupyterLab shows no cells: run make pictures again")
                page.screenshot(
                    path=file,
                    clip={
                        "x": first["x"],
                        "y": first["y"],
                        "width": first["width"],
                        "height": last["y"] + last["height"] - first["y"],
                    },
                )
                print(file.relative_to(ROOT))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
