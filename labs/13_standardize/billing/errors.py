"""What billing refuses, in its own words. The API answers with `status`."""


class BillingError(Exception):
    """Anything billing refuses."""

    status = 400


class InvoiceNotFound(BillingError):
    status = 404

    def __init__(self, key: object) -> None:
        super().__init__(f"There is no invoice {key}.")
        self.key = key


class AlreadyPaid(BillingError):
    status = 409


class Overpaid(BillingError):
    status = 409


class DuplicatePayment(BillingError):
    status = 409


class InvalidInvoice(BillingError):
    status = 422


class BillingUnavailable(BillingError):
    status = 503
