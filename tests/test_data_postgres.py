"""Collect from a real PostgreSQL server, started here on loopback and ended with the tests."""

from datetime import datetime
from io import BytesIO

import pytest
import sqlalchemy as sa
from PIL import Image

from databases import MISSING, REASON, postgresql
from tuwen.config import Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.data.sql import Query
from tuwen.errors import DataError

pytestmark = pytest.mark.skipif(MISSING, reason=REASON)


@pytest.fixture(scope="module")
def server():
    with postgresql() as found:
        yield found.url


@pytest.fixture(scope="module")
def shop(server):
    file = BytesIO()
    Image.new("RGB", (40, 30), (200, 40, 40)).save(file, "JPEG")
    engine = sa.create_engine(server.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE goods (sku text, name text, price numeric(10, 2), photo bytea)")
        connection.exec_driver_sql("CREATE TABLE opinions (sku text, stars int, at timestamptz, words text)")
        goods = [("a", "红色包", "12.50", file.getvalue()), ("b", "100% cotton: blue", None, None)]
        connection.exec_driver_sql("INSERT INTO goods VALUES (%s, %s, %s, %s)", goods)
        opinions = [("a", 5, "2024-05-01T10:00:00+08:00", "很好"), ("b", 9, "2024-05-02T00:00:00Z", "odd")]
        connection.exec_driver_sql("INSERT INTO opinions VALUES (%s, %s, %s, %s)", opinions)
    engine.dispose()
    return server


def test_tables_pictures_and_times_come_from_a_database(shop, tmp_path):
    spec = tmp_path / "SHOP.yaml"
    spec.write_text(
        f"""
name: pg
items:
  source: {shop}
  query: SELECT sku AS item, name AS title, price, photo FROM goods WHERE name LIKE '%' OR name = ':x'
  columns: {{images: photo}}
reviews:
  source: {shop}
  query: SELECT * FROM opinions
  columns: {{item: sku, rating: stars, time: at, text: words}}
rating_range: [1, 5]
""",
        encoding="utf-8",
    )
    manifest = collect(Shop.read(spec), tmp_path / "dataset")
    dataset = Dataset.open(tmp_path / "dataset")
    items = dataset.table("items")
    assert items["title"].to_list() == ["红色包", "100% cotton: blue"]
    assert items["price"].to_list() == [12.5, None]
    assert [len(images) for images in items["images"].to_list()] == [1, 0]
    reviews = dataset.table("reviews")
    assert reviews["time"].to_list() == [datetime(2024, 5, 1, 2, 0)]
    assert manifest["tables"]["reviews"]["rejected"] == 1  # nine stars


@pytest.mark.parametrize(
    "query", ["DROP TABLE goods", "DELETE FROM goods RETURNING sku", "UPDATE goods SET name = 'x' RETURNING sku"]
)
def test_a_query_cannot_change_the_database(shop, tmp_path, query):
    with pytest.raises(DataError):
        Query(shop, query, tmp_path)
    assert [
        row
        for batch in Query(shop, "SELECT name FROM goods", tmp_path).batches(["name"])
        for row in batch.frame["name"]
    ]
