from celery import Celery
from celery.schedules import crontab

from ..config import get_settings

app = Celery(
    "moorings",
    broker=get_settings().redis_url,
    backend=get_settings().redis_url,
    include=[
        "moorings.worker.billing_tasks",
        "moorings.worker.booking_tasks",
        "moorings.worker.report_tasks",
    ],
)

app.conf.task_acks_late = True
app.conf.beat_schedule = {
    "reminders": {"task": "billing.remind", "schedule": crontab(hour=7, minute=30)},
    "arrivals": {"task": "bookings.arrivals", "schedule": crontab(hour=5, minute=0)},
    "revenue": {"task": "reports.revenue", "schedule": crontab(day_of_month=1, hour=3)},
}
