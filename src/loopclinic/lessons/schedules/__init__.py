"""Virtual time, and the search over schedules that it makes cheap: `loopclinic.search_schedules`."""
