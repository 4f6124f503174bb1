"""`farsite licence …`: the operator's licence authority. Imports nothing heavy: `farsite --help` loads this module."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

licence = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Issue licences, as the operator."
)
authority = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The key that signs licences."
)
licence.add_typer(authority, name="authority")


class Algorithm(StrEnum):
    ED25519 = "ed25519"
    P256 = "p256"


class Kind(StrEnum):
    DEVICE = "device"
    UNIVERSAL = "universal"


KeyFile = Annotated[Path, typer.Option("--key", help="The authority's key file.")]
Json = Annotated[bool, typer.Option("--json", help="JSON.")]
_DEFAULT = Path("licence-authority.key")


@authority.command("init")
def init_authority(
    key: KeyFile = _DEFAULT,
    algorithm: Annotated[Algorithm, typer.Option(help="Kind of key.")] = Algorithm.ED25519,
    json: Json = False,
) -> None:
    """Make a key. Keep it away from the cloud; give clouds the public key (FARSITE_LICENCE_KEYS)."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.licences.authority import init

    with told(json):
        made = init(key, algorithm)
        text = f"Key {made.id} is in {made.key_file} (keep it secret), its public key in {made.public_file}."
        _show(json, text, id=made.id, key=str(made.key_file), public_key=str(made.public_file))


_ANYBODYS = (
    "warning: whoever has this key redeems it, once in every cloud that knows your authority. "
    "Bind it with --organization or --cloud."
)


@licence.command("issue")
def issue_licence(
    count: Annotated[int, typer.Option(help="How many devices.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day (UTC).")],
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day (UTC); today.")
    ] = None,
    kind: Annotated[Kind, typer.Option(help="device: Axis devices; universal: any.")] = Kind.DEVICE,
    organization: Annotated[
        str | None, typer.Option(help="Id of the only organization that may redeem it.")
    ] = None,
    cloud: Annotated[
        str | None, typer.Option(help="Address of the only cloud that takes it (its public_url).")
    ] = None,
    issuer: Annotated[str, typer.Option(help="Your name, shown with the licence.")] = "operator",
    key: KeyFile = _DEFAULT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file for it.")] = None,
    json: Json = False,
) -> None:
    """Print a licence key. Redeem it with: farsite licences redeem KEY (or --file)."""
    from farsite_cloud.clock import system_clock
    from farsite_cloud.commands.failure import told
    from farsite_cloud.licences.authority import issue, read_authority
    from farsite_signaling.identity.keys import write_private
    from farsite_signaling.wire.licence import LicenceKind

    with told(json):
        now = system_clock()
        claims, text = issue(
            read_authority(key),
            issuer=issuer,
            kind=LicenceKind(kind),
            count=count,
            first=since or now,
            last=until,
            organization=organization,
            now=now,
            cloud=cloud,
        )
        if output is not None:
            write_private(output, text.encode() + b"\n")
        shown = text if output is None else f"The licence {claims.jti} is in {output}."
        if organization is None and cloud is None:
            typer.echo(_ANYBODYS, err=True)
        _show(json, shown, key=text, licence=claims.model_dump(mode="json"))


@licence.command("show")
def show_licence(
    file: Annotated[Path, typer.Argument(help="File with a licence key.")],
    public_key: Annotated[Path, typer.Option("--public-key", help="The authority's public key.")] = Path(
        "licence-authority.key.pub"
    ),
    json: Json = False,
) -> None:
    """What is in a licence key, once its signature was checked."""
    from farsite_cloud.commands.failure import told
    from farsite_cloud.licences.licensing import read_keys
    from farsite_signaling.identity.licences import verify_licence
    from farsite_signaling.wire.errors import ErrorCode, FarsiteError

    with told(json):
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError):
            raise FarsiteError(ErrorCode.NOT_FOUND, f"Cannot read {file}.") from None
        claims = verify_licence(text, read_keys([str(public_key)]))
        _show(json, claims.model_dump_json(indent=2), **claims.model_dump(mode="json"))


def _show(as_json: bool, text: str, **values: Any) -> None:
    import json as encoder

    typer.echo(encoder.dumps(values) if as_json else text)
