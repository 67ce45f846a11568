//! TIME and its parts. Times are UTC: the engine reads no clock and no time zone of its own.

use super::{Collector, Value, Variable};
use crate::waf::transaction::Transaction;

/// A moment in the civil calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
    /// 0 is Sunday.
    pub(crate) weekday: u64,
}

impl Civil {
    /// From seconds since the Unix epoch.
    pub(crate) fn from_epoch(seconds: u64) -> Self {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Days counted from 1 March of year 0, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4) % 7,
        }
    }
}

/// Appends the one value of a TIME variable.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, out: &mut Collector<'_>) {
    let seconds = transaction.now.as_secs();
    let civil = Civil::from_epoch(seconds);
    let text = match variable {
        Variable::Time => format!("{:02}:{:02}:{:02}", civil.hour, civil.minute, civil.second),
        Variable::TimeYear => format!("{:04}", civil.year),
        Variable::TimeMon => format!("{:02}", civil.month),
        Variable::TimeDay => format!("{:02}", civil.day),
        Variable::TimeHour => format!("{:02}", civil.hour),
        Variable::TimeMin => format!("{:02}", civil.minute),
        Variable::TimeSec => format!("{:02}", civil.second),
        Variable::TimeWday => civil.weekday.to_string(),
        _ => seconds.to_string(),
    };
    let bytes = out.text(|out| out.extend_from_slice(text.as_bytes()));
    out.push(Value::scalar(variable, bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates() {
        let date = Civil::from_epoch(1_709_210_096);
        assert_eq!((date.year, date.month, date.day), (2024, 2, 29));
        assert_eq!((date.hour, date.minute, date.second, date.weekday), (12, 34, 56, 4));
        let epoch = Civil::from_epoch(0);
        assert_eq!((epoch.year, epoch.month, epoch.day, epoch.weekday), (1970, 1, 1, 4));
    }
}
