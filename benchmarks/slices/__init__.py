"""`sod bench slices`: accuracy, speed, memory and fairness of sliced inference, beside SAHI in the same engine."""
