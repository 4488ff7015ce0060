"""Everything that touches disk or the command line: runs, studies, statistics, reports."""
