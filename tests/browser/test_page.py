"""The sandbox's page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import Select, WebDriverWait

from airflow_provider_passnotify.sandbox.page import picture
from airflow_provider_passnotify.sandbox.server import RunningSandbox

TEXTS = ("h1", "#connected", ".counts dt", "nav a", "label", ".why", ".where", ".back .title", "th", "td")
Send = Callable[..., requests.Response]
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
DESK = {"width": 1300, "height": 900, "deviceScaleFactor": 1, "mobile": False}


class Page:
    """What a person sees on the page.

    :param driver: the browser.
    """

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def find(self, selector: str) -> WebElement:
        """Return the first element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, reached: Callable[[], Any], what: str) -> Any:
        """Wait until a condition on the page is true."""
        return WebDriverWait(self.driver, 60, poll_frequency=0.1).until(lambda _: reached(), what)

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element holds a text."""
        self.wait(lambda: text in self.text(selector), f"{text!r} in {selector}; it holds {self.text(selector)!r}")

    def text(self, selector: str) -> str:
        """Return the text of an element as it is in the document. It is empty if there is no element."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.driver.execute_script(script, selector))

    def phone(self, pass_id: int) -> WebElement | None:
        """Return the phone of a pass. It is found by the name that a screen reader reads."""
        named = [card for card in self.all("article") if card.accessible_name == f"Pass {pass_id}"]
        return named[0] if named else None

    def emulate(self, screen: dict[str, Any], scheme: str = "light") -> None:
        """Change the screen."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        # Turn animations off, because a notice that fades in has no visible text yet.
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        media = {"features": [{"name": name, "value": value} for name, value in wishes.items()]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


@pytest.fixture
def page(chromium: Chrome, sandbox: RunningSandbox) -> Iterator[Page]:
    opened = Page(chromium)
    opened.emulate(DESK)
    chromium.get(sandbox.url)
    opened.wait_for_text("#connected", "Live")
    yield opened
    errors = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    chromium.get("about:blank")
    assert [error for error in errors if "status of 4" not in error] == []


def test_a_notice_arrives_while_one_looks(page: Page, send: Send) -> None:
    assert page.find("#empty").is_displayed()
    ticket_id = send("pass/123", "Your gate is B7", "Gate change").json()["ticketId"]
    phone = page.wait(lambda: page.phone(123), "the phone")
    assert phone.find_element(By.CSS_SELECTOR, ".notice").text.splitlines()[0] == f"Ticket {ticket_id}"
    assert phone.find_element(By.CSS_SELECTOR, ".notice .label").text == "Gate change"
    assert phone.find_element(By.CSS_SELECTOR, ".notice .value").text == "Your gate is B7"
    assert phone.find_element(By.CSS_SELECTOR, ".shows").text == "Gate change: Your gate is B7"
    assert page.text("#announcer") == "Notice on pass 123: Gate change: Your gate is B7"
    assert not page.find("#empty").is_displayed()
    send("tag/campaign123", "20% off", query="?templateId=12345")
    page.wait_for_text("#announcer", "Notice on 3 passes: 20% off")
    newest = page.phone(123).find_element(By.CSS_SELECTOR, ".notice .value")
    assert newest.text == "20% off"
    assert [page.text(f"#count-{name}") for name in ("notices", "passes", "requests")] == ["4", "3", "2"]


def test_earlier_notices_fold_away(page: Page, send: Send) -> None:
    for number in range(5):
        send("pass/123", f"number {number}")
    page.wait_for_text("article details summary", "2 earlier")
    phone = page.phone(123)
    assert [each.text for each in phone.find_elements(By.CSS_SELECTOR, ".recent .value")] == [
        "number 4",
        "number 3",
        "number 2",
    ]
    phone.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert [each.text for each in phone.find_elements(By.CSS_SELECTOR, "details .value")] == ["number 1", "number 0"]


def test_what_a_deletion_did(page: Page, send: Send, sandbox: RunningSandbox) -> None:
    send("pass/123", "Your gate is B7", "Gate")
    page.wait(lambda: page.phone(123), "the phone")
    requests.delete(f"{sandbox.url}/v1/pass/123/notify", auth=sandbox.credential, timeout=30)
    page.wait_for_text("article .shows", "Deleted at ")
    assert page.find("article .shows del").text == "Gate: Your gate is B7"
    assert page.find("article .notice .value").text == "Your gate is B7"
    send("pass/123", "Back again")
    page.wait_for_text("article .shows", "Back again")
    assert page.all("article .shows del") == []


def test_tickets_and_their_states(page: Page, send: Send, sandbox: RunningSandbox) -> None:
    ticket_id = send("pass/123", "x").json()["ticketId"]
    page.wait_for_text("#ticket-rows", f"{ticket_id}pass 123PENDING")
    sandbox.set_tickets(ticket_id, seconds=0, final="FAILED")
    page.wait_for_text("#ticket-rows", f"{ticket_id}pass 123FAILED")


def test_requests_refused_and_why(page: Page, send: Send) -> None:
    send("pass/999", "x")
    page.wait_for_text("#refused-list", "404: object not found :Pass not found! There is no pass 999")
    assert "POST /v1/pass/999/notify" in page.text("#refused-list")
    assert page.text("#count-refused") == "1"


def test_a_fault_is_switched_on_and_cleared_by_keyboard(page: Page, send: Send) -> None:
    page.find("a.skip").send_keys(Keys.TAB)
    for _ in range(40):
        focused = page.driver.switch_to.active_element
        if focused.get_attribute("id") == "fault-what":
            break
        focused.send_keys(Keys.TAB)
    go_down_to(page, "503")
    focused.send_keys(Keys.TAB, Keys.TAB)
    go_down_to(page, "until")
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    page.driver.switch_to.active_element.send_keys("/pass/123/", Keys.ENTER)
    page.wait_for_text("#fault-list", "503: unavailable")
    assert send("pass/123", "x").status_code == 503
    assert send("pass/124", "x").status_code == 200
    page.wait_for_text("#fault-list", "POST /pass/123/: 1 times so far")
    page.find("#clear").send_keys(Keys.ENTER)
    page.wait(lambda: not page.all("#fault-list li"), "no faults")
    assert send("pass/123", "x").status_code == 200


def test_every_fault_that_is_offered_can_be_set(page: Page, sandbox: RunningSandbox) -> None:
    what = Select(page.find("#fault-what"))
    for index in range(len(what.options)):
        what.select_by_index(index)
        page.find("#fault-form button").click()
        page.wait_for_text(f"#fault-list li:nth-child({index + 1})", what.options[index].text)
    assert page.text("#fault-problem") == ""
    names = page.driver.execute_script(
        "return [...document.querySelectorAll('#fault-list li div:first-child')].map(e => e.textContent)"
    )
    assert names == [option.text for option in what.options]
    sandbox.clear_faults()


def test_a_fault_that_is_refused_says_why(page: Page) -> None:
    page.find("#fault-path").send_keys("(", Keys.ENTER)
    page.wait_for_text("#fault-problem", "it is not a regular expression")
    assert page.find("#fault-problem").get_attribute("role") == "alert"


def test_what_is_held_can_be_let_go_on(page: Page, send: Send, sandbox: RunningSandbox) -> None:
    sandbox.add_fault("hold", stage="accepted")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(send, "pass/123", "x")
        page.wait_for_text("#release", "Let 1 request go on")
        page.find("#release").click()
        assert answer.result().status_code == 200
    page.wait(lambda: not page.find("#release").is_displayed(), "nothing to let go on")


def test_forget_everything(page: Page, send: Send) -> None:
    send("pass/123", "x")
    page.wait(lambda: page.phone(123), "the phone")
    page.find("#reset").click()
    page.wait(lambda: alert_is_present()(page.driver), "the question").accept()
    page.wait(lambda: not page.all("article"), "no phone")
    page.wait_for_text("#count-notices", "0")
    send("pass/124", "y")
    page.wait(lambda: page.phone(124), "the phone of what came after")


def test_a_thousand_passes_and_more(page: Page, send: Send) -> None:
    send("template/20000", "To all 1500")
    page.wait_for_text("#count-notices", "1500")
    assert len(page.all("article")) == 1000
    for number in (7, 1400):
        send(f"pass/template/20000/id/customer-{number}", f"Only for {number}")
    page.wait_for_text("article h3", "Pass 1001400")
    assert len(page.all("article")) == 1000
    assert "Only the 1000 passes with the newest notices are shown." in page.text("#shown")
    page.find("#find").send_keys("only for")
    page.wait_for_text("#shown", "2 of 1000 passes fit.")
    visible = [card.accessible_name for card in page.all("article:not([hidden])")]
    assert visible == ["Pass 1001400", "Pass 1000007"]
    Select(page.find("#order")).select_by_value("id")
    visible = [card.accessible_name for card in page.all("article:not([hidden])")]
    assert visible == ["Pass 1000007", "Pass 1001400"]


def test_what_came_before_one_looked_is_there(page: Page, send: Send) -> None:
    for number in range(3):
        send("pass/123", f"number {number}")
    page.driver.refresh()
    page.wait_for_text("article .shows", "number 2")
    assert page.text("article .head span") == "3 notices"


def test_text_is_text(page: Page, send: Send) -> None:
    evil = "<img src=x onerror='document.title=1'><b>bold</b> & \u202e 🎉"
    send("pass/123", evil, evil)
    page.wait(lambda: page.phone(123), "the phone")
    assert page.find("article .value").get_attribute("textContent") == evil
    assert page.all("article img") == page.all("article b") == []
    assert page.driver.title == "PassNotify sandbox"


def test_nothing_comes_from_elsewhere(page: Page, sandbox: RunningSandbox) -> None:
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(loaded) >= 3
    assert [name for name in loaded if not name.startswith(f"{sandbox.url}/")] == []
    policy = requests.get(sandbox.url, timeout=30).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
def test_it_fits_and_can_be_read(page: Page, send: Send, screen: dict[str, Any], scheme: str) -> None:
    page.emulate(screen, scheme)
    send("pass/123", "averylongwordwithoutanyspace" * 20, "l" * 200)
    send("pass/999", "x")
    page.wait_for_text("#refused-list", "999")
    widths = page.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    for selector in TEXTS:
        element = page.find(selector)
        assert element.is_displayed(), selector
        assert contrast(page, element) >= 4.5, selector
    if screen is PHONE:
        for control in page.all("button, input, select"):
            assert not control.is_displayed() or control.size["height"] >= 44, control.get_attribute("outerHTML")
    dark = luminance(page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")) < 0.2
    assert dark == (scheme == "dark")


def test_a_screen_reader_has_names_for_everything(page: Page, send: Send) -> None:
    send("pass/123", "x")
    page.wait(lambda: page.phone(123), "the phone")
    assert page.find("html").get_attribute("lang") == "en"
    assert len(page.all("h1")) == len(page.all("main")) == 1
    controls = page.all("button, input, select, a, section, nav, article, ul, [role=region]")
    assert [
        each.get_attribute("outerHTML") for each in controls if each.is_displayed() and not each.accessible_name
    ] == []
    assert page.find("#connected").get_attribute("role") == "status"
    assert page.find("#announcer").get_attribute("aria-live") == "polite"


def test_a_picture_of_it_can_be_kept(page: Page, send: Send, sandbox: RunningSandbox, tmp_path: Path) -> None:
    """One file that loads nothing else. ``make demo`` writes it at its end."""
    evil = "</script><script>document.title = 1</script>"
    send("pass/123", evil, "Gate change")
    send("pass/999", "x")
    file = tmp_path / "picture.html"
    file.write_text(sandbox.call(picture))
    page.driver.get(file.as_uri())
    assert page.text("article .notice .value") == evil
    assert page.text("#connected").startswith("As it was on ")
    assert "There is no pass 999" in page.text("#refused-list")
    assert not page.find("#faults").is_displayed()
    assert page.driver.title == "PassNotify sandbox"
    assert page.driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_sandbox_that_is_gone_is_noticed(chromium: Chrome) -> None:
    from airflow_provider_passnotify.sandbox.server import running_sandbox

    page = Page(chromium)
    with running_sandbox() as short_lived:
        chromium.get(short_lived.url)
        page.wait_for_text("#connected", "Live")
    page.wait_for_text("#connected", "Not connected")
    chromium.get("about:blank")
    chromium.get_log("browser")


def go_down_to(page: Page, text: str) -> None:
    """Choose what begins with a text, by the arrow keys. (Typed letters would have to come quickly, one by one.)"""
    chosen = Select(page.driver.switch_to.active_element)
    for _ in chosen.options:
        if chosen.first_selected_option.text.startswith(text):
            return
        page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    raise AssertionError(f"nothing begins with {text!r}")


def luminance(color: str) -> float:
    """Return the relative luminance of a colour (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(page: Page, element: WebElement) -> float:
    """Return the contrast of an element's text with what is behind it."""
    script = """
        let node = arguments[0], behind;
        const ink = getComputedStyle(node).color;
        do { behind = getComputedStyle(node).backgroundColor; node = node.parentElement; }
        while (node && behind === "rgba(0, 0, 0, 0)");
        return [ink, behind];
    """
    light, dark = sorted(map(luminance, page.driver.execute_script(script, element)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
