fn main() {
    let a: Vec<f64> = std::env::args().skip(1).map(|x| x.parse().unwrap()).collect();
    let mut o = prunella_sim::Options::new(a[0] as u32, a[1] as u32, a[2] as u64);
    o.faults_per_host_day = a[3];
    o.check_every_step = a.get(4).is_some_and(|x| *x > 0.0);
    let r = prunella_sim::simulate(&o).unwrap();
    println!("{r:#?}");
}
