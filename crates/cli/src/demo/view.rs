//! The live view in the terminal: orders by status, deliveries, latency, what happened last.

use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use hookit_contract::KnownStatus;
use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Bar, BarChart, BarGroup, Block, Paragraph, Sparkline};

use crate::demo::Snapshot;

/// Delivery rates kept for the sparkline.
const RATES_MAX: usize = 240;

/// The terminal, while the view has it. Given back when dropped.
pub(super) struct View {
    terminal: DefaultTerminal,
    rates: Vec<u64>,
    last: Option<(Duration, u64)>,
}

impl View {
    pub(super) fn open() -> anyhow::Result<Self> {
        Ok(View { terminal: ratatui::try_init()?, rates: Vec::new(), last: None })
    }

    /// Draws a frame. True where the user asked to stop.
    pub(super) fn draw(&mut self, snapshot: &Snapshot) -> anyhow::Result<bool> {
        self.follow(snapshot);
        let rates = &self.rates;
        self.terminal.draw(|frame| draw(frame, snapshot, rates))?;
        let mut stop = false;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                let interrupt =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                stop |= interrupt || key.code == KeyCode::Char('q') || key.code == KeyCode::Esc;
            }
        }
        Ok(stop)
    }

    fn follow(&mut self, snapshot: &Snapshot) {
        let now = (snapshot.elapsed, snapshot.status.delivered);
        if let Some((then, delivered)) = self.last {
            let seconds = now.0.saturating_sub(then).as_secs_f64();
            if seconds > 0.0 {
                self.rates.push((now.1.saturating_sub(delivered) as f64 / seconds) as u64);
            }
            if self.rates.len() > RATES_MAX {
                self.rates.remove(0);
            }
        }
        self.last = Some(now);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1e3)
}

fn colour(status: KnownStatus) -> Color {
    match status {
        KnownStatus::Scheduled | KnownStatus::Placed => Color::Blue,
        KnownStatus::Accepted | KnownStatus::Preparing => Color::Yellow,
        KnownStatus::Ready => Color::Magenta,
        KnownStatus::DriverAssigned | KnownStatus::DriverArrived | KnownStatus::Dispatched => Color::Cyan,
        KnownStatus::Delivered | KnownStatus::PickedUp => Color::Green,
        KnownStatus::Cancelled => Color::Red,
    }
}

fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, rates: &[u64]) {
    let Snapshot { elapsed, status, inbox, traffic, stage } = snapshot;
    let board_height = KnownStatus::ALL.len() as u16 + 2;
    let [head, board, figures, rate, recent] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(board_height),
        Constraint::Length(5),
        Constraint::Length(4),
        Constraint::Min(3),
    ])
    .areas(frame.area());

    let mut title = vec![
        Span::raw(" hookit demo ").bold(),
        Span::raw(format!(
            "{:.0} s · {} orders · {} changes",
            elapsed.as_secs_f64(),
            traffic.created,
            traffic.changes()
        )),
        Span::raw("   q stops").dim(),
    ];
    if let Some(stage) = stage {
        title.push(Span::raw(format!("   {}", stage.page)));
        if !stage.broken.is_empty() {
            title.push(Span::raw(format!("   {}", stage.broken.join(", "))).yellow());
        }
    }
    frame.render_widget(Paragraph::new(Line::from(title)), head);

    let mut statuses = KnownStatus::ALL;
    statuses.sort_by_key(|status| status.rank());
    let bars: Vec<Bar<'_>> = statuses
        .into_iter()
        .map(|status| {
            let orders = traffic.board[status as usize];
            Bar::default()
                .label(Line::from(format!("{:>15} {orders:>5} ", status.name())))
                .value(orders)
                .text_value(String::new())
                .style(Style::new().fg(colour(status)))
        })
        .collect();
    let chart = BarChart::horizontal(Vec::new())
        .data(BarGroup::default().bars(&bars))
        .bar_width(1)
        .bar_gap(0)
        .block(Block::bordered().title(" orders by status "));
    frame.render_widget(chart, board);

    let waiting = if status.pending > 0 { Color::Yellow } else { Color::Green };
    let dead = if status.dead > 0 { Color::Red } else { Color::Green };
    let lines = vec![
        Line::from(vec![
            Span::raw(" platform  "),
            Span::raw(format!("{} delivered  ", status.delivered)).green(),
            Span::styled(format!("{} pending  ", status.pending), waiting),
            Span::styled(format!("{} dead  ", status.dead), dead),
            Span::raw(format!("{} attempts  {} in flight", status.attempts, status.in_flight)),
        ]),
        Line::from(format!(
            " inbox     {} received  {} duplicates  {} quarantined  {} refused",
            inbox.received, inbox.duplicates, inbox.quarantined, inbox.refused
        )),
        Line::from(format!(
            " latency   p50 {}  p99 {}  from commit to acknowledgement",
            ms(status.latency.p50_us),
            ms(status.latency.p99_us)
        )),
    ];
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" deliveries ")), figures);

    let visible = usize::from(rate.width.saturating_sub(2));
    let shown = &rates[rates.len().saturating_sub(visible)..];
    let now = rates.last().copied().unwrap_or(0);
    let block = Block::bordered().title(format!(" delivered a second: {now} "));
    frame.render_widget(Sparkline::default().data(shown).style(Color::Green).block(block), rate);

    let rows = usize::from(recent.height.saturating_sub(2));
    let lines: Vec<Line<'_>> =
        traffic.recent.iter().rev().take(rows).map(|what| Line::from(format!(" {what}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" last changes ")), recent);
}

/// The same as one line, for where there is no terminal.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let Snapshot { elapsed, status, inbox, traffic, stage } = snapshot;
    let broken = stage.as_ref().map(|stage| stage.broken.join(", ")).filter(|broken| !broken.is_empty());
    format!(
        "{:>5.0} s  {} orders  {} changes  {} delivered  {} pending  {} dead  {} duplicates  p50 {}  p99 {}{}\n",
        elapsed.as_secs_f64(),
        traffic.created,
        traffic.changes(),
        status.delivered,
        status.pending,
        status.dead,
        inbox.duplicates,
        ms(status.latency.p50_us),
        ms(status.latency.p99_us),
        broken.map_or_else(String::new, |broken| format!("  ({broken})"))
    )
}
