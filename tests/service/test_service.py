"""What limits are counted by."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from aasist.service.service import address_of


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_counted_alone_and_a_network_of_version_6_as_one(host, counted):
    assert address_of(SimpleNamespace(client=SimpleNamespace(host=host))) == counted


def test_who_has_no_address_is_counted_too():
    assert address_of(SimpleNamespace(client=None)) == "unknown"
