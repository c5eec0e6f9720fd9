"""Figures at the size they have on paper: each file has one `draw(data, …)`, options in conf/figure/."""
