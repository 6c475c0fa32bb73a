"""A server that cannot listen says so in one sentence, before anything is loaded."""

import socket

import pytest

from qwenarm.cli.listening import check_listening
from qwenarm.cli.main import main
from qwenarm.errors import BadInput

SERVERS = (
    ["demo", "--no-browser", "--port"],
    ["serve", "policy", "--port"],
    ["serve", "openenv", "--port"],
    ["serve", "mcp", "--http"],
)


@pytest.mark.parametrize("words", SERVERS, ids=" ".join)
def test_a_port_that_does_not_exist_is_refused(capsys, words):
    assert main([*words, "99999"]) == 2
    assert "a port is a number from 0 to 65535" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused():
    check_listening("127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadInput, match="Address already in use"):
        check_listening(*taken.getsockname())


def test_an_unknown_interface_is_refused():
    with pytest.raises(BadInput, match=r"Cannot listen on 203\.0\.113\.1:0"):
        check_listening("203.0.113.1", 0)
