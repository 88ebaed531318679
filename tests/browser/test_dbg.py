import re

import nbformat
from nbformat.v4 import new_code_cell, new_notebook


def test_dbg(page, lab, shots):
    address, folder = lab
    nb = new_notebook(cells=[new_code_cell("from course_utils.widgets.explorer import Upload\nUpload()")],metadata={"kernelspec":{"name":"python3","display_name":"P","language":"python"}})
    nbformat.write(nb, folder/"d.ipynb")
    def log(m):
        print("CONSOLE", m.type, m.text)
        for a in m.args:
            try: print("   ARG", a.evaluate("e => e && (e.stack || String(e))"))
            except Exception as e: print(e)
    page.on("console", log)
    page.on("requestfailed", lambda r: print("FAILED", r.url[:200], r.failure))
    page.goto(f"{address}/doc/tree/d.ipynb")
    page.get_by_text("| Idle").wait_for(timeout=90000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All( Cells)?$")).click()
    page.wait_for_timeout(30000)
    page.screenshot(path=shots/"dbg.png")
