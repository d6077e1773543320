"""What a drill leaves behind: figures, verdicts, the event, the signed statement, what is due, the report. Pure."""
