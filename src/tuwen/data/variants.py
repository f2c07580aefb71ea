"""Items that stand over several rows: shops write what a product has once into its first row, as Shopify exports it.

By the product's key (``Handle``) further rows bring further pictures. By the variant's key (``Variant SKU``) further
rows are items of their own that lack the product's title. Both show by their pattern, and only then anything is moved.
"""

from __future__ import annotations

import polars as pl

from tuwen.data.kinds import COLUMNS
from tuwen.data.validate import FILE, ROW

_FIRST, _RUN, _MORE = "\0first", "\0run", "\0more"  # names that no shop's column can have


def filled(frame: pl.DataFrame) -> tuple[pl.DataFrame, int, list[str]]:
    """Give rows without a title what their product's first row says, and that row the pictures of keyless ones.

    Some column must name the product: each of its values stands in one run of rows, and in every run that has rows
    without a title the first row alone has one. Columns that are empty in all further rows are the product's own.

    Args:
        frame: the rows of one file under tuwen's names, in order, media as lists of references; also FILE and ROW.

    Returns:
        the rows, how many became part of another, and sentences for a person.
    """
    if not {"title", "item"} <= set(frame.columns):
        return frame, 0, []
    title = _blank(frame["title"])
    if (
        not title.any()
        or title.all()
        or frame["item"].filter(title).is_in(frame["item"].filter(~title).implode()).any()
    ):
        return frame, 0, []  # rows of one key are for :func:`gathered`
    column = _product_column(frame, title)
    if column is None:
        return frame, 0, []
    media = [name for name in COLUMNS if name in frame.columns]
    marked = frame.with_columns(_runs(frame[column]), title.alias(_MORE))
    more = marked.filter(_MORE)
    own = [
        name for name in frame.columns if name not in (*media, "item", column, FILE, ROW) and _blank(more[name]).all()
    ]
    keyless = title & _blank(frame["item"]) & _empty(frame, [*own, *media, "item", column])
    marked = marked.with_columns(keyless.alias(_FIRST))
    if media:
        pictures = marked.filter(_FIRST).group_by(_RUN).agg(pl.col(media).explode().drop_nulls().name.suffix(_MORE))
        marked = marked.join(pictures, on=_RUN, how="left", maintain_order="left")
        marked = marked.with_columns(
            pl.when(~pl.col(_MORE) & pl.col(name + _MORE).is_not_null())
            .then(pl.col(name).list.concat(pl.col(name + _MORE)).list.unique(maintain_order=True))
            .otherwise(pl.col(name))
            .alias(name)
            for name in media
        )
    whole = marked.with_columns(pl.col(own).forward_fill().over(_RUN)).filter(~pl.col(_FIRST))
    note = (
        f"items: {int((title & ~keyless).sum()):,} rows without a title got that of the row above with the same "
        f"'{column}' (with {', '.join(own)})"
    )
    if keyless.any():
        note += f"; {int(keyless.sum()):,} rows of pictures only were added to it"
    return whole.select(frame.columns), int(keyless.sum()), [note]


def gathered(frame: pl.DataFrame) -> tuple[pl.DataFrame, int, list[str]]:
    """Make one item of rows with one key where none says anything else than the first: their pictures are added to it.

    A later row continues the first if it has no title of its own, or the same title and another picture. A row with
    another title is another item under the same key, and stays to be rejected.

    Args:
        frame: good rows of items, media as lists of references.
    """
    media = [name for name in COLUMNS if name in frame.columns]
    if "title" not in frame.columns or frame["item"].is_unique().all():
        return frame, 0, []
    first = pl.col("title").first().over("item")
    later = ~pl.col("item").is_first_distinct()
    new = pl.lit(False)
    for name in media:
        new = new | (pl.col(name).list.set_difference(pl.col(name).first().over("item")).list.len() > 0)
    same = (pl.col("title") == first) & new
    joins = later & first.is_not_null() & (pl.col("title").is_null() | same.fill_null(False))
    marked = frame.with_columns(joins.alias(_MORE))
    count = int(marked[_MORE].sum())
    if not count:
        return frame, 0, []
    first_rows = marked.filter(pl.col("item").is_first_distinct() | pl.col(_MORE))
    pictures = pl.col(media).explode().drop_nulls().unique(maintain_order=True)
    lists = first_rows.group_by("item", maintain_order=True).agg(pictures)
    main_rows = marked.filter(~pl.col(_MORE)).drop(_MORE)
    firsts = main_rows.select(pl.col("item").is_first_distinct()).to_series()
    whole = main_rows.join(lists, on="item", how="left", maintain_order="left", suffix=_MORE)
    main_rows = whole.with_columns(
        pl.when(firsts).then(pl.col(name + _MORE)).otherwise(pl.col(name)).alias(name) for name in media
    ).select(main_rows.columns)
    note = (
        f"items: {count:,} rows continue an item above (the same key and no other title): their pictures were added to "
        "it, and of every other column the first row counts"
    )
    return main_rows, count, [note]


def _product_column(frame: pl.DataFrame, untitled: pl.Series) -> str | None:
    """Return the column that names the product of each row."""
    for name in frame.columns:
        values = frame[name]
        if (
            name in (*COLUMNS, "title", "item", FILE, ROW)
            or values.dtype != pl.String
            or _blank(values.filter(untitled)).any()
        ):
            continue
        runs = pl.DataFrame([_runs(values), (~untitled).alias("titled"), values.alias("value")])
        groups = runs.group_by(_RUN, maintain_order=True).agg(
            pl.col("titled").sum().alias("titles"), pl.col("titled").first(), pl.len(), pl.col("value").first()
        )
        longer = groups.filter(pl.col("titles") < pl.col("len"))
        one_title = (longer["titles"] == 1).all() and longer["titled"].all()
        if one_title and groups["value"].drop_nulls().is_unique().all():
            return name
    return None


def _runs(values: pl.Series) -> pl.Series:
    """Return for each row the number of its run of equal values."""
    changed = values.ne_missing(values.shift(1))
    return changed.cast(pl.Int64).cum_sum().alias(_RUN)


def _blank(values: pl.Series) -> pl.Series:
    if values.dtype.is_nested():
        return (values.list.len() == 0).fill_null(True)
    if values.dtype == pl.String:
        return (values.str.strip_chars().str.len_bytes() == 0).fill_null(True)
    return values.is_null()


def _empty(frame: pl.DataFrame, left_out: list[str]) -> pl.Series:
    """Return the rows in which all other columns are blank."""
    rest = [_blank(frame[name]) for name in frame.columns if name not in (*left_out, FILE, ROW)]
    empty = pl.Series([True]).new_from_index(0, frame.height)
    for blank in rest:
        empty = empty & blank
    return empty
