//! What is around the content of every page: head, header, navigation.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use super::assets::{SCRIPT, STYLE, icon_path};
use super::csrf_field;
use crate::Secret;

/// A set of pages that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// What it shows: `platform`, `inbox`.
    pub name: &'static str,
    /// Its first page.
    pub home: &'static str,
    /// Where a search goes, by GET with `q`, and what it looks for; none where there is nothing to search.
    pub search: Option<(&'static str, &'static str)>,
    /// Where signing out goes.
    pub sign_out: &'static str,
}

/// An entry of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is called.
    pub name: &'static str,
    /// Its first page; all others are below it.
    pub path: &'static str,
}

/// Who looks at a page.
#[derive(Clone, Copy, Debug)]
pub struct SignedIn<'a> {
    /// By name.
    pub name: &'a str,
    /// What they may do, in a word.
    pub role: &'a str,
    /// The token for the form that signs out.
    pub csrf: &'a Secret,
}

/// A page without its content.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Where it belongs.
    pub site: &'a Site,
    /// Its title.
    pub title: &'a str,
    /// Its path, by which its section is found.
    pub path: &'a str,
    /// The sections that are offered.
    pub sections: &'a [Section],
    /// Who looks at it; none where nobody is signed in.
    pub signed_in: Option<SignedIn<'a>>,
    /// What was searched for, where that led here.
    pub searched: &'a str,
}

impl Frame<'_> {
    /// The page with this content, below its title as the heading.
    pub fn page(&self, status: StatusCode, content: Markup) -> Response {
        let page = self.markup(&content).into_string();
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], page)
            .into_response()
    }

    fn markup(&self, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · hookit " (self.site.name) }
                    link rel="icon" type="image/svg+xml" href=(icon_path());
                    link rel="stylesheet" href=(STYLE.path);
                    script src=(SCRIPT.path) defer {}
                }
                body {
                    a.skip href="#content" { "To the content" }
                    (self.header())
                    main #content tabindex="-1" {
                        h1 { (self.title) }
                        (content)
                    }
                }
            }
        }
    }

    fn header(&self) -> Markup {
        html! {
            header.top {
                a.brand href=(self.site.home) { b { "hookit" } " " (self.site.name) }
                @if !self.sections.is_empty() {
                    nav aria-label="Sections" {
                        @for section in self.sections {
                            @let current = self.is_in(section).then_some("page");
                            a href=(section.path) aria-current=[current] { (section.name) }
                        }
                    }
                }
                @if let (Some((path, what)), Some(_)) = (self.site.search, self.signed_in) {
                    form.search action=(path) method="get" role="search" {
                        input type="search" name="q" value=(self.searched) placeholder=(what) aria-label=(what) maxlength="255";
                        button type="submit" { "Search" }
                    }
                }
                @if let Some(SignedIn { name, role, csrf }) = self.signed_in {
                    form.who action=(self.site.sign_out) method="post" {
                        (csrf_field(csrf))
                        span.liveness #liveness hidden {}
                        span title=(role) { (name) }
                        button.plain type="submit" { "Sign out" }
                    }
                } @else {
                    span.who { span.liveness #liveness hidden {} }
                }
            }
        }
    }

    /// The first page's section is that page alone, or everything would be in it.
    fn is_in(&self, section: &Section) -> bool {
        let below = self.path.strip_prefix(section.path);
        below.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && section.path != self.site.home))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site { name: "test", home: "/home", search: None, sign_out: "/home/out" };

    #[test]
    fn a_page_is_in_the_section_that_it_is_below() {
        let in_section = |path, section| {
            let frame = Frame { site: &SITE, title: "", path, sections: &[], signed_in: None, searched: "" };
            frame.is_in(&Section { name: "", path: section })
        };
        for (path, section, is_in) in [
            ("/home", "/home", true),
            ("/home/orders", "/home", false),
            ("/home/orders", "/home/orders", true),
            ("/home/orders/7", "/home/orders", true),
            ("/home/orders7", "/home/orders", false),
            ("/home", "/home/orders", false),
        ] {
            assert_eq!(in_section(path, section), is_in, "{path} {section}");
        }
    }

    #[test]
    fn what_is_told_of_strangers_is_escaped() {
        let frame = Frame {
            site: &SITE,
            title: "<script>",
            path: "/home",
            sections: &[],
            signed_in: None,
            searched: "",
        };
        let page = frame.markup(&html! { p { "\"<b>" } }).into_string();
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&lt;b&gt;"), "{page}");
    }
}
