"""What a served shop answers from: revisions that come and go back, and experiments."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from homes import Shop, home_in, problem
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.cli import app


def test_another_revision_is_taken_up_and_a_broken_one_is_not(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    shop = Shop(folder, tmp_path / "store.db")
    assert shop.good("GET", "/readyz")["revision"] == 4
    workflow.promote(tmp_path / "next", folder)
    assert shop.live.look() and shop.good("GET", "/readyz")["revision"] == 5
    bundle = Home(folder).part("recommend")
    assert bundle is not None
    workflow.promote(tmp_path / "next", folder)
    broken = Home(folder).part("recommend")
    assert broken is not None
    next(broken.rglob("*.npy")).write_bytes(b"broken after it was promoted")
    assert not shop.live.look()
    told = shop.good("GET", "/readyz")
    assert told["revision"] == 5 and "damaged" in told["fault"] and shop.items("POST", "/v1/recommend", {"count": 3})
    known = shop.good("GET", "/v1/operator/revisions")
    assert known["live"] == 5 and known["revisions"][0]["number"] == 6
    for number in (0, -3, 99, 10**22):
        refused = problem(shop.ask("POST", "/v1/operator/back", {"revision": number}), 422)
        assert refused["seen"] == str(number) and refused["where"] == "live.json" and "4" in refused["allowed"]
    shop.good("POST", "/v1/operator/back", {"revision": 4})
    again = shop.good("GET", "/readyz")
    assert again["revision"] == 7 and "fault" not in {k for k, v in again.items() if v is not None}
    (folder / "incoming").mkdir()
    (tmp_path / "index").rename(folder / "incoming" / "index")
    assert shop.good("GET", "/v1/operator/revisions")["incoming"] == [{"name": "index", "kind": "search"}]
    assert shop.good("POST", "/v1/operator/promote", {"folder": "index"})["number"] == 8
    for name in ("../next", "/etc", ".hidden", "a/b", ""):
        problem(shop.ask("POST", "/v1/operator/promote", {"folder": name}), 422)
    shop.store.close()


def test_shoppers_are_split_by_a_hash_and_events_count_from_their_first_answer():
    from tuwen.apps.storefront.experiment import arm_of, lift

    arms = [arm_of("test", f"u{n}", 0.3) for n in range(4000)]
    assert 0.27 < arms.count("b") / 4000 < 0.33 and arms == [arm_of("test", f"u{n}", 0.3) for n in range(4000)]
    exposures = [{"user": f"u{n}", "arm": "ab"[n % 2], "time": 10} for n in range(400)]
    bought = {f"u{n}": [{"item": "x", "kind": "purchase", "time": 20}] * (1 + n % 2) for n in range(0, 400)}
    told = lift(exposures, bought, "purchase")
    assert told["difference"] == 1.0 and told["lift"] == 1.0 and told["low"] == told["high"] == 1.0
    before = {user: [{"item": "x", "kind": "purchase", "time": 5}] for user in bought}
    assert lift(exposures, before, "purchase")["arms"]["a"]["events"] == 0
    late = {user: [{"item": "x", "kind": "purchase", "time": t} for t in (15, 20, 30)] for user in bought}
    told = lift(exposures, late, "purchase", periods=[(8, 20), (25, 30), (30, None)])
    assert (told["arms"]["a"]["rate"], told["outside"]) == (2.0, 400)  # the end is no part of it


def test_an_experiment_from_its_begin_to_what_came_of_it(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    shop = Shop(folder, folder / "store.db")

    def tuwen(*words: str) -> Any:
        done = CliRunner().invoke(app, ["ab", str(folder), *words])
        return done.exit_code, done.output

    assert tuwen()[0] == 2  # none ran
    assert tuwen("--against", str(tmp_path / "next"), "--name", "other")[0] == 0
    assert shop.live.look()
    code, said = tuwen()
    assert code == 0 and "nobody took part yet" in said
    nobody = json.loads(tuwen("--json")[1])
    assert [one["shoppers"] for one in nobody["arms"].values()] == [0, 0] and nobody["difference"] is None
    code, said = tuwen("--name", "othr")
    assert code == 3 and "no such experiment ran here" in said and "did you mean 'other'?" in said
    arms = {}
    for n in range(30):
        arms[f"u{n}"] = shop.good("POST", "/v1/recommend", {"user": f"u{n}", "count": 2})["arm"]
        event = {"event": f"e{n}", "user": f"u{n}", "item": "SKU-0001", "kind": "purchase"}
        if arms[f"u{n}"] == "b":
            shop.good("POST", "/v1/events", {"events": [event]})
    assert set(arms.values()) == {"a", "b"}
    assert {row["user"]: row["arm"] for row in shop.store.people.exposed("other")} == arms
    shop.good("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zeppelin"}})  # for both arms alike
    for user in [next(u for u in arms if arms[u] == arm) for arm in ("a", "b")]:
        assert "NEW" in shop.items("POST", "/v1/recommend", {"user": user, "count": 5})
    found = json.loads(tuwen("--json")[1])
    assert found["arms"]["a"]["rate"] == 0.0 and found["arms"]["b"]["rate"] == 1.0 and found["low"] > 0
    assert "the zeros say nothing" in tuwen("--kind", "cart")[1]
    assert found["ended"] is None and "still runs" in tuwen()[1]
    assert tuwen("--end")[0] == 0 and shop.live.look()
    assert "arm" not in shop.good("POST", "/v1/recommend", {"user": "u0", "count": 2})
    late = [{"event": f"late{n}", "user": f"u{n}", "item": "SKU-0001", "kind": "purchase"} for n in range(30)]
    shop.good("POST", "/v1/events", {"events": late})
    after = json.loads(tuwen("--json")[1])
    assert after["arms"] == found["arms"] and after["ended"] and after["outside"] == 30
    said = tuwen()[1]
    assert "30 purchase events came while it did not run" in said and f"ended {after['ended']}" in said
    for words in (("--share", "0.3"), ("--against", str(tmp_path / "next"), "--name", "all", "--share", "1")):
        assert tuwen(*words)[0] != 0
    assert "promote it" in tuwen("--against", str(tmp_path / "next"), "--name", "all", "--share", "0")[1]
    shop.store.close()


def test_a_slip_of_the_keys_makes_no_home(tmp_path):
    store = ["--store", str(tmp_path / "store.db")]
    for command in (["key"], ["ab"], ["serve"], ["serve", *store]):
        done = CliRunner().invoke(app, [command[0], str(tmp_path / "hmoe"), *command[1:]])
        assert done.exit_code == 2 and "there is no home here" in done.output and "no such folder" in done.output
    assert not (tmp_path / "hmoe").exists() and not (tmp_path / "store.db").exists()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{}")
    done = CliRunner().invoke(app, ["serve", str(tmp_path / "report"), *store])
    told = " ".join(done.output.split())
    assert done.exit_code == 2 and "a report or a comparison" in told and "tuwen promote" in told
