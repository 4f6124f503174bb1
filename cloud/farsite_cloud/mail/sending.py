"""One mail to the SMTP server."""

from __future__ import annotations

import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib

from farsite_cloud.mail.queue import Taken
from farsite_cloud.settings import CloudSettings

TIMEOUT = 30.0


class Refused(Exception):
    """The server will not take this mail however often it is asked (RFC 5321: a 5yz reply)."""


class Postponed(Exception):
    """It did not work now: no connection, a 4yz reply, a sign-in that was refused."""


def message_of(mail: Taken, sender: str) -> EmailMessage:
    """The same `Message-ID` at every attempt, so that mail programs show a repeated one once."""
    message = EmailMessage()
    message["From"] = f"Farsite <{sender}>"
    message["To"] = mail.recipient
    message["Subject"] = mail.content.subject
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = f"<{mail.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.content.text)
    return message


class Smtp:
    def __init__(self, settings: CloudSettings, public_url: str) -> None:
        self._settings = settings
        assert settings.smtp_host is not None
        self._host = settings.smtp_host
        domain = urlsplit(public_url).hostname or "localhost"
        self.sender = settings.smtp_from or f"farsite@{domain}"
        self.name = f"{self._host}:{settings.smtp_port}"

    async def send(self, mail: Taken) -> None:
        """Raises `Refused` or `Postponed`, whose text holds no secret."""
        message = message_of(mail, self.sender)
        try:
            await self._exchange(message, mail.recipient)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            raise _sorted(error) from None
        except (TimeoutError, aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Postponed(f"{self.name}: {error}") from None

    async def _exchange(self, message: EmailMessage, recipient: str) -> None:
        """Closed at once when cancelled: the library's own context manager would still ask a silent server to part."""
        client = aiosmtplib.SMTP(**self._connection())
        try:
            await client.connect()
            await client.send_message(message, sender=self.sender, recipients=[recipient])
            with suppress(aiosmtplib.SMTPException):  # it has taken the mail
                await client.quit()
        finally:
            client.close()

    def _connection(self) -> dict[str, Any]:
        settings = self._settings
        password = settings.smtp_password
        security = settings.smtp_security
        values: dict[str, Any] = {
            "hostname": self._host,
            "port": settings.smtp_port,
            "timeout": TIMEOUT,
            "use_tls": security == "tls",
            # Demanded, not tried: a server or somebody between that hides STARTTLS gets no mail.
            "start_tls": security == "starttls",
            "username": settings.smtp_username,
            "password": password.get_secret_value() if password is not None else None,
        }
        if security != "none":
            values["tls_context"] = ssl.create_default_context(
                cafile=str(settings.smtp_ca_file) if settings.smtp_ca_file else None
            )
        return values


def _sorted(error: aiosmtplib.SMTPException) -> Exception:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    code = getattr(error, "code", 0)
    text = f"{code} {getattr(error, 'message', error)}"
    # A refused sign-in is the operator's mistake and not the mail's.
    final = 500 <= code < 600 and not isinstance(error, aiosmtplib.SMTPAuthenticationError)
    return Refused(text) if final else Postponed(text)
