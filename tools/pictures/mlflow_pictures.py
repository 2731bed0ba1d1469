"""Make the documentation's pictures of MLflow's page, from a store that is logged in its database.

python -m tools.pictures.mlflow_pictures results
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tools.pictures.mlflow_page import MlflowPage, browser, new_page, server

PICTURES = Path(__file__).parents[2] / "orchestrator" / "pictures"
SETTLE = 6000  # milliseconds until the charts are drawn
PLACE = 'params.dataset = "sst2" and params.model = "bert-embedded" and params.attack = '
HEADS = ("mlp_ft", "mvp")


def main() -> None:
    store = Path(sys.argv[1])
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        server(store / "mlflow.db", Path(folder, "log")) as address,
        browser() as started,
    ):
        page = MlflowPage(new_page(started), address)
        page.open_view("cells")
        page.page.wait_for_timeout(SETTLE)
        keep(page, "mlflow-runs")
        page.open_view("sst2-by-head")
        page.wait_for("Group: ")
        page.page.wait_for_timeout(SETTLE)
        keep(page, "mlflow-group")
        page.open_view("sst2-by-attack", charts=True)
        page.page.locator(".barlayer .point").first.wait_for()
        page.page.wait_for_timeout(SETTLE)
        keep(page, "mlflow-chart")
        page.open_runs(f'{PLACE}"textfooler"')
        page.wait_for("textfooler")
        page.compare([name for name in page.run_names() if name.split(" ")[0] in HEADS])
        page.page.get_by_text("Visualizations").click()
        page.page.get_by_text("Parameters", exact=True).last.click()
        page.page.wait_for_timeout(SETTLE)
        keep(page, "mlflow-compare")


def keep(page: MlflowPage, name: str) -> None:
    """A picture of the page, in 256 colours: a third of the bytes."""
    image = Image.open(io.BytesIO(page.page.screenshot()))
    few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
