"""When schedules start: zones, cron expressions, calendars, and the coming starts with their reasons. It is pure."""
