"""The pairing of the fields of a history with those of the target, and what each is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

from bst.imports.rankers.account import Account
from bst.imports.rankers.ranker import Id, Pair, Ranker

MOST = 6  # fields that are paired by their ids: all orders are tried


def pair_fields(
    history: Mapping[str, str], target: Mapping[str, str], ids: Mapping[str, Mapping[Id, int]], account: Account
) -> dict[str, str]:
    """Pair each history field with the target field that has the same meaning.

    Fields of one table belong together. The others have vocabularies of their own: they are paired so that most ids are
    in both, and by their places where that decides nothing; fields without a common id are no pair.

    Args:
        history, target: the table of each field, by its name, in the order of their columns.
        ids: the vocabulary of each field.
    """
    partners: dict[str, str] = {}
    for name, table in history.items():
        same = [other for other, its_table in target.items() if its_table == table and other not in partners.values()]
        if same:
            partners[name] = same[0]
    rest = [name for name in history if name not in partners]
    free = [name for name in target if name not in partners.values()]
    if max(len(rest), len(free)) > MOST:
        account.offences.append(f"{len(rest)} history fields ({', '.join(rest)}) share no table; at most {MOST} may")
        return partners
    chosen = [pair for pair in _best(rest, free, ids) if ids[pair[0]].keys() & ids[pair[1]].keys()]
    for name, other in chosen:
        account.remark(
            f"`{name}` has a table of its own and is taken for the history of `{other}`: "
            f"{len(ids[name].keys() & ids[other].keys()):,} ids are in both vocabularies."
        )
    return partners | dict(chosen)


def _best(rest: Sequence[str], free: Sequence[str], ids: Mapping[str, Mapping[Id, int]]) -> list[tuple[str, str]]:
    def share(name: str, other: str) -> float:
        both = ids[name].keys() & ids[other].keys()
        return len(both) / max(1, len(ids[name].keys() | ids[other].keys()))

    count = min(len(rest), len(free))
    pairings = [list(zip(rest[:count], order, strict=True)) for order in permutations(free, count)]
    if len(rest) > count:
        pairings = [list(zip(order, free, strict=True)) for order in permutations(rest, count)]
    # The first of equal ones, which is that by place.
    return max(pairings, key=lambda pairs: sum(share(*pair) for pair in pairs))


def require_fields(ranker: Ranker, account: Account) -> None:
    """Refuse fields that a request could not give, and remark on those that it has to give.

    Raises:
        InputError: every offence in one message.
    """
    paired = set(ranker.partners.values())
    events, candidates = ranker.event_fields, ranker.candidate_fields
    account.offences += [
        f"the target field {field.name} is no property of the item (item_features.json) and has no history field"
        for field in ranker.target
        if not ranker.is_of_item(field.name) and field.name not in paired
    ]
    if ranker.item not in paired:
        account.offences.append(f"the item {ranker.item} has no history field")
    if len(candidates) not in (0, len(events)) or (events and not candidates and ranker.positions is None):
        without = [field.name for field in events if field.name not in ranker.partners]
        account.offences.append(f"the history fields {', '.join(without)} have no target field")
    for pair in ranker.others:
        _require_items(pair, account)
    account.require_sound()
    for field in events:
        partner = ranker.partners.get(field.name)
        beside = f", and with each candidate as `{partner}`" if partner else ""
        account.remark(
            f"`{field.name}` is asked for with each event{beside}: item_features.json does not have "
            f"`{partner or field.name}`."
        )
    for name in ranker.properties:
        account.remark(f"`{name}` is a property of the item (item_features.json): it is part of the item's row.")
    for pair in ranker.pairs:
        _remark_on_one_sided_items(pair, account)


def _require_items(pair: Pair, account: Account) -> None:
    """Note as offences what another sequence than the first has besides items and their properties."""
    sequence, paired = pair.history[0].name, pair.partners.values()
    if pair.item not in paired:
        account.offences.append(
            f"the pair of {sequence} has no history of the item {pair.item}, so it is no sequence of the same items"
        )
        return
    fields = [field.name for field in pair.target if not pair.is_of_item(field.name)]
    fields += [field.name for field in pair.event_fields]
    if fields:
        account.offences.append(
            f"the pair of {sequence} has the fields {', '.join(fields)}, which are no properties of the item, and only "
            "the first pair can have such; give their values in item_features.json if they are properties"
        )
    else:
        account.remark(
            f"`{pair.item_history.name}` is an input beside `history`, a sequence of items with a length of its own."
        )


def _remark_on_one_sided_items(ranker: Pair, account: Account) -> None:
    """Remark on items that are in one of two vocabularies of items alone."""
    history, target = set(ranker.item_history.ids), set(ranker.target_by_name[ranker.item].ids)
    where = "takes the row of unknown items" if ranker.settings.get("unknown_items") == "row" else "takes row 0"
    for count, place, other in (
        (len(target - history), "a candidate", "in a history"),
        (len(history - target), "in a history", "as a candidate"),
    ):
        if count:
            account.remark(f"{count:,} items are known {place} alone: {other}, each {where} of the other table.")
