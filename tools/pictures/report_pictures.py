"""Make the documentation's pictures of the report's page.

    python -m tools.pictures.report_pictures PAGE

PAGE is the index.html of a report of the space `embedded`.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parents[2] / "orchestrator" / "pictures"


def main(page: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1180, "height": 900})
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=PICTURES / "report.png")
        tab.set_viewport_size({"width": 1180, "height": 680})
        tab.goto(f"{page.resolve().as_uri()}#examples?dataset=sst2&head=mvp&status=successful")
        tab.screenshot(path=PICTURES / "report-examples.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
