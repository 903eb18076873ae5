//! Pages of the catalogue on a terminal.

use crate::report::explain::explain_page;
use crate::report::palette::Palette;
use crate::text::width;

const PAGE: &str = "\
# dns-silent

A resolver was asked and has not answered, and that sentence goes on until it has to be wrapped somewhere near the end.

## What to do

- Ask it yourself:
  `dig @192.0.2.53 proxy.example.com`
- Look at the other one, which is further away than this one and answers for the whole of the network.
  1. first
  2. second

```text
nameserver 192.0.2.53   # a very long line of code that is never wrapped because it is meant to be pasted
```

The end.
";

#[test]
fn a_page_is_laid_out() {
    assert_eq!(
        explain_page(PAGE, 200, Palette::PLAIN),
        "\
dns-silent

A resolver was asked and has not answered, and that sentence goes on until it
has to be wrapped somewhere near the end.

What to do

- Ask it yourself: `dig @192.0.2.53 proxy.example.com`
- Look at the other one, which is further away than this one and answers for the
  whole of the network.
  1. first
  2. second

    nameserver 192.0.2.53   # a very long line of code that is never wrapped because it is meant to be pasted

The end.
"
    );
}

#[test]
fn a_narrow_terminal_is_enough() {
    let page = explain_page(PAGE, 50, Palette::PLAIN);
    let prose = page.lines().filter(|line| !line.starts_with("    "));
    assert!(prose.clone().count() > 12);
    assert!(prose.map(width).all(|columns| columns <= 50), "{page}");
}
