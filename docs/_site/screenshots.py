"""Take the screenshots of docs/studio.md from the bundled weights and images: needs selenium and Chromium.

python docs/_site/screenshots.py        # writes docs/figures/studio_*.jpg
"""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

from adept_training.proposals import run_proposals
from adept_training.studio.answers import Answers
from adept_training.studio.image_sets import BUNDLED, open_sets
from adept_training.studio.server import serving
from adept_training.studio.sources import open_source

OUT = Path(__file__).resolve().parents[1] / "figures"
#: Names of the figures: tab and image, width and height in pixels, dark or light, and what is there when it is drawn.
SHOTS = {
    "studio_objectness": ("#objectness/0/1", 1280, 620, "dark", "img.map"),
    "studio_proposals": ("#proposals/0/2", 1280, 700, "light", ".frame g"),
}
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")  # fmt: skip


def main() -> None:
    """Serve the page, and take every screenshot."""
    with tempfile.TemporaryDirectory() as folder:
        run_proposals(str(BUNDLED), Path(folder) / "boxes", preset="objects", workers=1)
        sources = tuple(map(open_source, ("detection", str(Path(folder) / "boxes"))))
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        with serving(Answers(sources, open_sets(sources, None, None), "cpu")) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
            for name, shot in SHOTS.items():
                take(driver, server.address, name, *shot)
            driver.quit()
            server.shutdown()


def take(
    driver: webdriver.Chrome, address: str, name: str, place: str, width: int, height: int, scheme: str, ready: str
) -> None:
    """Write one screenshot when its boxes or maps are drawn."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get("about:blank")
    driver.get(address + place)
    while not driver.execute_script(f"return document.querySelector('{ready}')"):
        time.sleep(0.2)
    time.sleep(2)
    png = base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])
    Image.open(io.BytesIO(png)).convert("RGB").save(OUT / f"{name}.jpg", quality=84, optimize=True)


if __name__ == "__main__":
    main()
