"""What the notebooks show: one page module each, called by cells that hold no logic.

`work` is long work beside a page, `layout` how parts stand together, `ledgers` which books and bars are at hand.
"""
