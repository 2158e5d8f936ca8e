"""Our connector as it is, with mock participants beside those of the space.

    python -m tests.conformance.edc.connector --peer edc-provider=http://127.0.0.1:19194/protocol/2025-1

It takes its settings from the environment, as ``hexi connector serve`` does.
"""

from argparse import ArgumentParser

from connector.app import create_app
from connector.settings import ConnectorSettings
from hexi.web import configure_logging, serve
from registry.identity import did_web
from tests.conformance.edc.mock_peers import with_mock_peers


def main() -> None:
    """Parse, and serve until told to stop."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", action="append", default=[], metavar="ID=ADDRESS")
    peers = dict(peer.split("=", 1) for peer in parser.parse_args().peer)
    settings = ConnectorSettings()
    configure_logging()
    serve(create_app(settings, peers=with_mock_peers(did_web(settings.url), peers)), settings)


if __name__ == "__main__":
    main()
