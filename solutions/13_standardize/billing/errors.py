"""What billing refuses, in its own words. The API answers with `status`."""


class BillingError(Exception):
    """Anything billing refuses."""

    status = 400


class InvoiceNotFound(BillingError):
    """No invoice has this id."""

    status = 404

    def __init__(self, key: object) -> None:
        super().__init__(f"There is no invoice {key}.")
        self.key = key


class AlreadyPaid(BillingError):
    """Nothing is open."""

    status = 409


class Overpaid(BillingError):
    """Less is open than was paid."""

    status = 409


class DuplicatePayment(BillingError):
    """This payment was booked before."""

    status = 409


class InvalidInvoice(BillingError):
    """The tables refuse it."""

    status = 422


class BillingUnavailable(BillingError):
    """The database can't be asked."""

    status = 503
