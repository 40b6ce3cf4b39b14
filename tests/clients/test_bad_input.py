"""Every client is asked the rows of `bad_input.md` that are theirs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import EVERY, Client
from tests.reliability.doors.asking import ask_client
from tests.reliability.doors.bad_input import Row
from tests.reliability.doors.place import Place
from tests.reliability.doors.test_bad_input import rows_of, walk


@EVERY
@pytest.mark.parametrize("row", rows_of("Clients"))
def test_a_client_says_what_the_page_says(
    client: Client, row: Row, place: Place, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk(row, ask_client(client), place, record_property, monkeypatch)
