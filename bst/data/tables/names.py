"""Names that columns of users, items and times commonly have, for a remedy that can be copied; never for a guess."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bst.data.tables.times import DATE, UNIX

DIGITS = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Role:
    """The role of a column: the option that names it, and common names for it, the likeliest first.

    Case, blanks and signs in names do not count.
    """

    option: str
    names: tuple[str, ...]

    def likely(self, columns: Iterable[str]) -> str | None:
        by_name = {plain(column): column for column in reversed(list(columns))}
        return next((by_name[name] for name in self.names if name in by_name), None)


USER = Role(
    "--user-column",
    (
        *("userid", "user", "uid", "visitorid", "customerid", "custid", "cid", "customer", "clientid", "memberid"),
        *("accountid", "reviewerid", "householdid", "buyerid", "shopperid", "playerid", "subscriberid", "steamid"),
        *("profileid", "personid", "authorid", "author", "msno", "username", "useridx", "userindex", "userhash"),
        *("fullvisitorid", "anonymousid", "deviceid", "cookieid", "visitor", "client", "member", "reviewer"),
        *("sessionid", "session", "sid", "usersessionid", "usersession", "userkey", "usercode", "userno"),
    ),
)
ITEM = Role(
    "--item-column",
    (
        *("itemid", "item", "iid", "movieid", "productid", "articleid", "parentasin", "asin", "stockcode", "trackid"),
        *("songid", "newsid", "bookid", "isbn", "skuid", "sku", "goodsid", "videoid", "contentid", "adid", "adgroupid"),
        *("listingid", "businessid", "venueid", "poiid", "gameid", "appid", "animeid", "recipeid", "beerid", "jobid"),
        *("postid", "courseid", "artistid", "gmapid", "hotelid", "offerid", "eventid", "documentid", "pageid", "url"),
        *("movie", "product", "article", "track", "song", "book", "video", "artist", "title", "productcode"),
        *("itemidx", "itemindex", "itemkey", "itemcode", "itemno", "productkey", "materialid", "merchantid", "brandid"),
    ),
)
TIME = Role(
    "--time-column",
    (
        *("timestamp", "time", "ts", "eventtime", "eventtimestamp", "datetime", "unixreviewtime", "unixtime"),
        *("unixtimestamp", "invoicedate", "tdat", "orderdate", "purchasedate", "purchasetime", "transactiondate"),
        *("transactiontime", "transactiontimestamp", "createdat", "created", "createtime", "timestampms", "timems"),
        *("timestamps", "eventdate", "visittime", "visitdate", "clicktime", "viewtime", "ratingtimestamp", "utctime"),
        *("playedat", "listenedat", "watchedat", "sessiontime", "checkintime", "reviewtime", "reviewdate"),
        *("epoch", "localtime", "interactiontime", "actiontime", "behaviortime", "updatedat", "date", "day", "dt"),
    ),
)
ROLES = (USER, ITEM, TIME)
KEY = Role("--users-key", ("id", *USER.names))


def plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def say_columns(missing: Sequence[Role], columns: Sequence[str], *, in_order: bool = True) -> str:
    """Say how to name the columns of `missing` roles, as options to copy; `columns` are those that are free, `in_order`
    whether the order of the rows may stand for times.
    """
    likely = {role: role.likely(columns) for role in missing}
    options = " ".join(f"{role.option} {shlex.quote(name)}" for role, name in likely.items() if name)
    unknown = ", ".join(role.option for role, name in likely.items() if not name)
    remedies = [*([f"say {options}"] if options else []), *([f"name yours with {unknown}"] if unknown else [])]
    order = (
        ", or --file-order instead of times, where the rows stand in their order"
        if in_order and TIME in missing
        else ""
    )
    return " and ".join(remedies) + order


def names_columns(cells: Sequence[str]) -> bool:
    """Return whether a first line names columns: at least two roles have one of their common names in it."""
    return sum(role.likely(cells) is not None for role in ROLES) > 1


def looks_like_data(cells: Sequence[str]) -> bool:
    return any(_is_number(cell) or DATE.fullmatch(cell) for cell in cells) and not _is_counted(cells)


def suggested_names(cells: Sequence[str]) -> list[str]:
    """Name each cell of a first line of data: users and items come first, and the last cell like a time is the time."""
    names = ["user_id", "item_id", "rating", *(f"column_{number}" for number in range(4, len(cells) + 1))]
    likely = [place for place, cell in enumerate(cells) if _is_time(cell) and (place > 1 or not _is_number(cell))]
    if likely or len(cells) == 3:
        names.insert(likely[-1] if likely else 2, "timestamp")
    return names[: len(cells)]


def _is_counted(cells: Sequence[str]) -> bool:
    """Return whether these are the numbers that pandas gives columns without names."""
    return list(cells) == [str(number) for number in range(len(cells))]


def _is_number(cell: str) -> bool:
    return cell.isascii() and DIGITS.fullmatch(cell) is not None


def _is_time(cell: str) -> bool:
    if DATE.fullmatch(cell):
        return True
    return _is_number(cell) and any(UNIX[0] * parts <= float(cell) <= UNIX[1] * parts for parts in (1, 1000, 10**6))
