from ..errors import MooringsError


class BillingError(MooringsError):
    """Anything billing refuses."""


class InvoiceNotFound(BillingError):
    status = 404

    def __init__(self, key: object) -> None:
        super().__init__(f"There is no invoice {key}.")
        self.key = key


class AlreadyPaid(BillingError):
    status = 409


class Overpaid(BillingError):
    status = 409


class DuplicateInvoice(BillingError):
    status = 409
