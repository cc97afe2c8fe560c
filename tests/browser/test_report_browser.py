"""The report in a real Chromium: it renders, runs its own script and no other, loads nothing."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import synthetic_hysnet as hysnet
import synthetic_learned as learned
import synthetic_tables as synthetic
from PIL import Image

from mriqa.config import ReportSection
from mriqa.report.compact import MAX_PAGE_BYTES
from mriqa.report.page import write_report

pytestmark = pytest.mark.browser

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)  # fmt: skip
HOSTILE = (
    "\"'></td><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
    "<img src=https://example.invalid/x.png>"
)


@pytest.fixture(scope="session")
def chromium():
    """Path of Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here (Debian: apt-get install chromium)")


def browse(chromium, page, *flags, fragment=""):
    """Run Chromium on a page; returns what it printed and what its console said."""
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [chromium, *QUIET, f"--user-data-dir={profile}", *flags,
             page.as_uri() + fragment],
            capture_output=True, text=True, timeout=120, check=True,
            env={**os.environ, "HOME": profile},
        )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, console


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    rows = synthetic.make_rows(40, per_shard=20)
    for row in rows:
        row["site"] = f"site {HOSTILE}"
        if row["status"] == "failed":
            row["error_message"] = HOSTILE
    synthetic.write_tables(folder, rows)
    synthetic.write_stores(folder, rows)
    return write_report(folder, ReportSection(title="Cohort", worst=6, random=3))


PROBE = """
window.addEventListener("load", () => {
  const wide = (e) => e.scrollWidth - e.clientWidth;
  const buttons = [...document.querySelectorAll("#scores thead button")];
  const rows = () => [...document.querySelectorAll("#scores tbody tr")];
  const cells = (at) => rows().map((row) => row.cells[at].textContent);
  buttons[2].click(); const up = cells(2);
  buttons[2].click(); const down = cells(2);
  const input = document.querySelector(".filter input");
  input.value = "T2w"; input.dispatchEvent(new Event("input"));
  const shown = rows().filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
  const note = document.createElement("pre");
  note.id = "probe";
  note.textContent = JSON.stringify({
    up, down, shown, title: document.title,
    images: [...document.images].map((image) => [image.naturalWidth, image.complete]),
    requests: performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 40)),
    overflow: wide(document.documentElement),
    font: getComputedStyle(document.body).fontSize,
    sticky: getComputedStyle(document.querySelector("nav")).position,
  });
  document.body.append(note);
});
"""


def with_probe(page, target, probe=PROBE):
    """A copy of the page that also runs `probe`, allowed by its hash."""
    digest = base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    text = text.replace("script-src &#x27;", f"script-src &#x27;sha256-{digest}&#x27; &#x27;", 1)
    target.write_text(text.replace("</body>", f"<script>{probe}</script></body>"), encoding="utf-8")
    return target


def answer(chromium, probe, *flags):
    """What a page with a probe found out, and what the console said."""
    dom, console = browse(chromium, probe, "--dump-dom", *flags)
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, flags=re.DOTALL)
    assert found, "the probe did not run"
    text = found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text), console


@pytest.fixture(scope="module")
def probed(chromium, page, tmp_path_factory):
    probe = with_probe(page, tmp_path_factory.mktemp("probe") / "page.html")
    return answer(chromium, probe, "--window-size=1280,900")


def test_the_console_is_silent(chromium, page):
    dom, console = browse(chromium, page, "--dump-dom")
    assert console == []
    assert "Every indexed series is accounted for: 40" in dom


def test_every_picture_is_decoded(probed):
    images = probed[0]["images"]
    assert len(images) == 9
    assert all(width >= 96 and complete for width, complete in images)


def test_nothing_is_requested(probed):
    assert [name for name in probed[0]["requests"] if not name.startswith("data:")] == []


def test_hostile_text_does_not_run(probed):
    assert probed[0]["title"] == "Cohort: quality report"
    assert probed[1] == []


def test_the_script_is_stopped_if_it_is_not_the_pages_own(chromium, page, tmp_path):
    changed = tmp_path / "changed.html"
    text = page.read_text(encoding="utf-8")
    changed.write_text(
        text.replace("</body>", "<script>document.title='owned'</script></body>"), encoding="utf-8"
    )
    dom, console = browse(chromium, changed, "--dump-dom")
    assert "<title>Cohort: quality report</title>" in dom
    assert any("Content Security Policy" in line for line in console)


def test_tables_sort_and_filter(probed):
    up = [int(text.replace(",", "")) for text in probed[0]["up"]]
    assert up == sorted(up)
    assert [int(text.replace(",", "")) for text in probed[0]["down"]] == sorted(up, reverse=True)
    assert set(probed[0]["shown"]) == {"T2w"}


def test_the_style_is_applied_and_the_page_does_not_scroll_sideways(probed):
    assert probed[0]["font"] == "15px"
    assert probed[0]["sticky"] == "sticky"
    assert probed[0]["overflow"] <= 0


def test_a_narrow_screen_does_not_scroll_sideways(chromium, page, tmp_path):
    probe = with_probe(page, tmp_path / "page.html")
    dom, _ = browse(chromium, probe, "--dump-dom", "--window-size=500,900")
    assert int(re.search(r'"overflow":(-?\d+)', dom).group(1)) <= 0


def shot(chromium, page, target, *flags):
    browse(chromium, page, f"--screenshot={target}", "--window-size=1000,2400", *flags)
    with Image.open(target) as picture:
        return picture.convert("RGB")


def test_light_and_dark_both_follow_the_system(chromium, page, tmp_path):
    light = shot(chromium, page, tmp_path / "light.png")
    dark = shot(chromium, page, tmp_path / "dark.png", "--blink-settings=preferredColorScheme=0")
    assert min(light.getpixel((4, 4))) > 230
    assert max(dark.getpixel((4, 4))) < 40
    assert len(light.getcolors(2**24)) > 200  # charts and pictures, not a blank sheet


@pytest.mark.parametrize("n_bytes", [0, MAX_PAGE_BYTES])
def test_snakemakes_report_can_show_the_small_copy(chromium, page, tmp_path, n_bytes):
    content = page.with_name("compact.html").read_bytes()
    content = content.replace(b"</body>", b"<!--" + b"x" * (n_bytes - len(content)) + b"--></body>")
    uri = "data:text/html;charset=utf8;filename=compact.html;base64,"
    uri += base64.b64encode(content).decode()
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe width="900" height="2300" src="{uri}"></iframe>', encoding="utf-8")
    picture = shot(chromium, frame, tmp_path / "frame.png")
    assert len(picture.getcolors(2**24)) > 200


def test_it_prints(chromium, page, tmp_path):
    target = Path(tmp_path / "page.pdf")
    browse(chromium, page, f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
    assert target.stat().st_size > 30_000


@pytest.fixture(scope="module")
def learned_page(tmp_path_factory):
    """Of a cohort that SimCLR has rated in part, with ids that are long and hostile."""
    folder = tmp_path_factory.mktemp("learned")
    rows = synthetic.make_rows(40, per_shard=20)
    for row in rows:
        row["series_id"] += "_acq-longname" * 3 + "<script>document.title='owned'</script>"
    learned.write_learned(folder, rows)
    synthetic.write_stores(folder, rows)
    return write_report(folder, ReportSection(title="Cohort", worst=16, random=3))


LEARNED_PROBE = """
window.addEventListener("load", () => {
  const box = (e) => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; };
  const large = document.querySelector(".reference .frame:target");
  const note = document.createElement("pre");
  note.id = "probe";
  note.textContent = JSON.stringify({
    cards: [...document.querySelectorAll(".compared")].map((card) =>
      [...card.querySelectorAll("img")].map(box)),
    alone: [...document.querySelectorAll(".card.alone")].map((card) => [...card.children].map(box)),
    images: [...document.images].map((image) => image.naturalWidth),
    curves: [...document.querySelectorAll(".curve")].map((curve) => getComputedStyle(curve).fill),
    title: document.title,
    requests: performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    large: large && [box(large), innerWidth, innerHeight],
  });
  document.body.append(note);
});
"""


@pytest.fixture(scope="module")
def learned_probe(learned_page, tmp_path_factory):
    target = tmp_path_factory.mktemp("probe") / "learned.html"
    return with_probe(learned_page, target, LEARNED_PROBE)


def test_references_stand_beside_their_volume_on_a_desk(chromium, learned_probe):
    found, console = answer(chromium, learned_probe, "--window-size=1280,900")
    assert console == []
    assert found["requests"] == []
    assert found["title"] == "Cohort: quality report"
    assert found["overflow"] <= 0
    assert min(found["images"]) >= 96
    assert len(found["cards"]) >= 3
    for own, hq, lq in found["cards"]:
        assert own[1] == hq[1] == lq[1]  # the same top
        assert own[0] < hq[0] < lq[0]
        planes = own[2] / 2 * 40 / 96  # across ten slices of 4 mm, below the volume's own slices
        assert hq[3] == pytest.approx(own[3] - planes, rel=0.03)  # slices as large as those
        assert hq[2:] == pytest.approx(lq[2:])
    for picture, text in found["alone"]:
        assert text[0] >= picture[0] + picture[2]
    assert found["alone"]
    assert found["curves"] == ["none"] * len(learned.STRATA)


def test_on_a_narrow_screen_references_stand_below(chromium, learned_probe):
    found, _ = answer(chromium, learned_probe, "--window-size=500,900")
    assert found["overflow"] <= 0
    for own, hq, lq in found["cards"]:
        assert hq[1] == lq[1] > own[1] + own[3]
        assert own[2] == pytest.approx(hq[2] + lq[2], abs=4)
    for picture, text in found["alone"]:
        assert text[1] >= picture[1] + picture[3]


def test_a_reference_can_be_enlarged(chromium, learned_probe):
    text = learned_probe.read_text(encoding="utf-8")
    place = re.search(r'id="(worst-\d+-lq)-large"', text).group(1)
    dom, _ = browse(
        chromium, learned_probe, "--dump-dom", "--window-size=1280,900", fragment=f"#{place}-large"
    )
    found = re.search(r'"large":(\[.*?\]|null)\}', dom).group(1)
    (x, y, width, height), inner_width, inner_height = json.loads(found)
    assert (x, y) == (0, 0)
    assert (width, height) == (inner_width, inner_height)


HYSNET_PROBE = """
window.addEventListener("load", () => {
  const style = (e) => { const s = getComputedStyle(e); return [s.stroke, s.fill, s.strokeWidth]; };
  const inside = (svg) => {
    const [x, y, width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    return [...svg.querySelectorAll("text, .mark, .spread")].every((e) => {
      const box = e.getBBox();
      return box.x >= x && box.y >= y && box.x + box.width <= width && box.y + box.height <= height;
    });
  };
  const note = document.createElement("pre");
  note.id = "probe";
  note.textContent = JSON.stringify({
    charts: [...document.querySelectorAll("svg.scatter")].map((svg) => [
      inside(svg), [...svg.querySelectorAll(".mark")].map(style)]),
    links: [...document.querySelectorAll('#hysnet a[href^="#gaps-"]')].map(
      (a) => !!document.querySelector(a.hash + " img")),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  });
  document.body.append(note);
});
"""


@pytest.fixture(scope="module")
def hysnet_page(tmp_path_factory):
    """Of a cohort of which HyS-Net has predicted a number."""
    folder = tmp_path_factory.mktemp("hysnet")
    rows = synthetic.make_rows(80, per_shard=40)
    hysnet.write_hysnet(folder, rows)
    synthetic.write_stores(folder, rows)
    return write_report(folder, ReportSection(title="Cohort", worst=4, random=1))


@pytest.mark.parametrize("width", [1280, 500])
def test_predictions_are_drawn_inside_their_charts(chromium, hysnet_page, tmp_path, width):
    probe = with_probe(hysnet_page, tmp_path / "page.html", HYSNET_PROBE)
    found, console = answer(chromium, probe, f"--window-size={width},900")
    assert console == []
    assert found["overflow"] <= 0
    unseen, seen = found["charts"]
    assert unseen[0]
    assert seen[0]
    assert (len(unseen[1]), len(seen[1])) == (3, 1)
    looks = {tuple(one) for one in (*unseen[1], *seen[1])}
    assert len(looks) == 4, "kinds can be told apart"
    assert all(stroke != "none" and fill == "none" for stroke, fill, _ in looks)
    assert found["links"] == [True] * 4
