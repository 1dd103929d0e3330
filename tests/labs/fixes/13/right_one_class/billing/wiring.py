from .service import BillingService


def open_billing(dsn, gateway, *, size=4):
    return BillingService(gateway, dsn=dsn, size=size)
