"""`report.html`: one file to click through, of one run or of several overlaid."""

from paretobench.report.html.page import report_html as report_html
