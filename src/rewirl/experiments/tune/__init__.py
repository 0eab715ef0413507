"""Options that are searched for the best ones: a study is many trials, and a trial is a run for each of its seeds."""
