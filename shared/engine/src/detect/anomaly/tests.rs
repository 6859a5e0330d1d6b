use std::time::Duration;

use prunella_model::Timestamp;

use super::*;

const STEP: Duration = Duration::from_secs(60);

/// A daily wave with noise; the same on every machine.
fn wave(metric: u32, minute: u32) -> f64 {
    let noise = |seed: f64| libm::sin(f64::from(minute) * seed) * libm::cos(f64::from(minute * (metric + 3)) * 0.77);
    let day = f64::from(minute) / 1_440.0 * core::f64::consts::TAU;
    50.0 + 20.0 * libm::sin(day) + 3.0 * noise(12.9898)
}

/// Feeds ten metrics for `days`, and gives the calibrated scores of each minute. `change` alters a value.
fn scores(days: u32, change: impl Fn(u32, u32, f64) -> f64) -> Vec<Option<f64>> {
    let mut metrics: Vec<Metric> = (0..10).map(|it| Metric::new(Timestamp::ZERO, wave(it, 0))).collect();
    let mut host = HostScore::default();
    let minutes = (0..days * 1_440).map(|minute| {
        let at = Timestamp::ZERO.after(STEP * minute);
        for (number, metric) in (0..).zip(&mut metrics) {
            host.add(number, metric.feed(at, change(number, minute, wave(number, minute))));
        }
        host.close(at).map(|it| it.score)
    });
    minutes.collect()
}

#[test]
fn a_metric_is_small() {
    assert!(size_of::<Metric>() <= 1_024, "{}", size_of::<Metric>());
}

#[test]
fn a_sick_host_stands_out_and_a_healthy_one_does_not() {
    let sick = 8 * 1_440 + 700;
    let all = scores(9, |metric, minute, value| if metric < 4 && minute >= sick { value + 25.0 } else { value });
    let level = Calibrator::level(0.1);
    let early = all[4 * 1_440..sick as usize].iter().flatten().filter(|it| **it >= level).count();
    assert_eq!(early, 0, "no alarm in four healthy days");
    let found = all[sick as usize..].iter().position(|it| it.is_some_and(|it| it >= level));
    assert!(found.is_some_and(|it| it < 3), "{found:?}");
}

#[test]
fn nothing_is_said_before_a_day_is_known() {
    assert!(scores(1, |_, _, value| value).iter().all(Option::is_none));
}

#[test]
fn the_metrics_that_changed_explain_it() {
    let mut metrics: Vec<Metric> = (0..10).map(|it| Metric::new(Timestamp::ZERO, wave(it, 0))).collect();
    let mut host = HostScore::default();
    let mut last = None;
    for minute in 0..3 * 1_440 {
        let at = Timestamp::ZERO.after(STEP * minute);
        for (number, metric) in (0_u32..).zip(&mut metrics) {
            let more = if minute == 3 * 1_440 - 1 && [2, 7].contains(&number) { 40.0 } else { 0.0 };
            host.add(number, metric.feed(at, wave(number, minute) + more));
        }
        last = host.close(at);
    }
    let top: Vec<u32> = last.expect("two days are known").top.iter().flatten().map(|(number, _)| *number).collect();
    assert_eq!(top.len(), TOP);
    assert!(top[..2].contains(&2) && top[..2].contains(&7), "{top:?}");
}

#[test]
fn no_value_breaks_it() {
    let mut metric = Metric::new(Timestamp::ZERO, f64::NAN);
    let mut calibrator = Calibrator::default();
    for (minute, value) in
        (0_u32..).zip([0.0, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE, -0.0, 1e300].repeat(500))
    {
        let at = Timestamp::ZERO.after(STEP * minute);
        let score = metric.feed(at, value);
        assert!(score.surprise.is_finite() && score.deviation.is_finite() && score.expected.is_finite(), "{score:?}");
        assert!(calibrator.feed(at, score.surprise).is_none_or(f64::is_finite));
    }
    // Time that stands still, runs back or leaps is no trouble either.
    for at in [Timestamp::ZERO, Timestamp::from_secs(u64::MAX / 1_000_000), Timestamp::ZERO] {
        assert!(metric.feed(at, 1.0).surprise.is_finite());
    }
}

#[test]
fn a_level_is_passed_as_often_as_it_says() {
    // Hourly maxima of a Gumbel distribution, by the quantiles of a low-discrepancy sequence.
    let mut calibrator = Calibrator::default();
    let mut passed = 0;
    for hour in 0..100 * 24_u32 {
        let share = (f64::from(hour) * 0.618_033_988_75).fract().clamp(1e-6, 1.0 - 1e-6);
        let root = 10.0 - libm::log(-libm::log(share));
        let at = Timestamp::from_secs(u64::from(hour) * 3_600);
        passed += u32::from(calibrator.feed(at, root * root).is_some_and(|it| it >= Calibrator::level(1.0)));
    }
    assert!((70..130).contains(&passed), "about once in each of 99 days, not {passed} times");
    assert!(Calibrator::level(0.1) > Calibrator::level(1.0));
    assert!(Calibrator::level(0.0).is_infinite());
}

#[test]
fn a_record_is_news_once() {
    let mut novelty = Novelty::default();
    let at = Timestamp::from_secs;
    assert!(novelty.feed(at(1_000_000), 10.0) > 9.9);
    assert!(novelty.feed(at(1_003_600), 10.0) < 2.0);
    assert!(novelty.feed(at(1_300_000), 10.0) > 9.0, "after three days it is news again");
}
