"""What people see of a pass: terminal, report, tables and notifications."""
