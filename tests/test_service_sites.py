"""Who may ask: pages of other sites, and clients that ask too often."""

from __future__ import annotations

import pytest

from homes import Shop, problem
from tuwen.service.client import network
from tuwen.service.rate import Rate

OTHER, ALLOWED = "https://evil.example", "https://shop.example"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/search?words=lamp", {}, 200),  # a program
        ("/v1/search?words=lamp", {"sec-fetch-site": "same-origin"}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),  # an <img>
        ("/v1/search?words=lamp", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 403),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "origin": ALLOWED}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "referer": f"{ALLOWED}/lamps"}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "referer": f"{OTHER}/?{ALLOWED}"}, 403),
        ("/v1/search?words=lamp", {"origin": OTHER}, 403),  # a browser that says no site
        ("/v1/search?words=lamp", {"origin": "null"}, 403),
        ("/v1/search?words=lamp", {"origin": "http://["}, 403),
        ("/v1/search?words=lamp", {"origin": "http://127.0.0.1:8000"}, 200),
        ("/v1/search?words=lamp", {"origin": "http://127.0.0.1:3000"}, 403),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ("/web/shop.js", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    ],
)
def test_a_page_of_another_site_may_visit_and_not_ask(home, tmp_path, path, headers, status) -> None:
    shop = Shop(home, tmp_path / "store.db", origins=[ALLOWED])
    answer = shop.ask("GET", path, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "--origin" in problem(answer, 403)["todo"] or "allow" in problem(answer, 403)["todo"]
        assert problem(shop.ask("POST", "/v1/recommend", {"count": 3}, headers=headers), 403)
    shop.store.close()


def test_open_paths_have_a_rate_of_their_own(home, tmp_path) -> None:
    shop = Shop(home, tmp_path / "store.db", open_rate=Rate(0.001, 3), rate=Rate(0.001, 2))
    assert [shop.ask("GET", path).status_code for path in ("/healthz", "/", "/readyz", "/healthz")] == [
        200,
        200,
        200,
        429,
    ]
    assert [shop.ask("GET", "/v1/shop").status_code for _ in range(3)] == [200, 200, 429]
    shop.store.close()


def test_an_owner_of_ipv6_counts_as_one_client() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:10.0.0.1") == "10.0.0.1" == network("10.0.0.1")
    assert network("testclient") == "testclient"
