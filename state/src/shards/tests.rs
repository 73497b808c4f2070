use proptest::prelude::*;

use super::*;

const SERVICE: &str = "org.plantd.State";

fn share(name: &str) -> ShareKeys {
    ShareKeys {
        name: name.to_owned(),
        ..ShareKeys::default()
    }
}

fn prefix(name: &str, prefix: &str) -> ShareKeys {
    ShareKeys {
        prefix: Some(prefix.to_owned()),
        ..share(name)
    }
}

fn range(name: &str, from: Option<&str>, until: Option<&str>) -> ShareKeys {
    ShareKeys {
        from: from.map(str::to_owned),
        until: until.map(str::to_owned),
        ..share(name)
    }
}

fn rest(name: &str) -> ShareKeys {
    ShareKeys {
        rest: true,
        ..share(name)
    }
}

fn problems(shares: &[ShareKeys]) -> Vec<(String, String)> {
    let problems = Shards::parse(SERVICE, shares).unwrap_err();
    let problems = problems.into_iter();
    problems.map(|it| (it.key, it.expected)).collect()
}

fn shard_of<'a>(map: &'a Shards, scope: &str) -> &'a str {
    &map.of(&Scope::parse(scope).unwrap()).name
}

#[test]
fn the_innermost_share_has_a_scope() {
    let map = Shards::parse(
        SERVICE,
        &[
            rest("rest"),
            range("west", Some("org.plantd.A"), Some("org.plantd.N")),
            prefix("pumps", "org.plantd.B.pump"),
            prefix("rest", "org.plantd.B.pump.old"),
        ],
    )
    .unwrap();
    for (scope, shard) in [
        ("org.plantd.A", "west"),
        ("org.plantd.@", "rest"),
        ("org.plantd.M.z", "west"),
        ("org.plantd.N", "rest"),
        ("org.plantd.B.pump", "pumps"),
        ("org.plantd.B.pumq", "west"),
        ("org.plantd.B.pump.old.1", "rest"),
        ("org.plantd.B.pump.new", "pumps"),
        ("!", "rest"),
        ("~", "rest"),
    ] {
        assert_eq!(shard_of(&map, scope), shard, "{scope}");
    }
    assert_eq!(map.shards()[1].service, "org.plantd.State.west");
    assert_eq!(map.shards().len(), 3);
}

#[test]
fn ranges_that_meet_need_no_rest() {
    let shares = [range("a", None, Some("m")), range("b", Some("m"), None)];
    let map = Shards::parse(SERVICE, &shares).unwrap();
    assert_eq!((shard_of(&map, "lz"), shard_of(&map, "m")), ("a", "b"));
}

#[test]
fn shares_that_cross_or_are_equal_are_refused_and_both_named() {
    let crossing = [
        rest("rest"),
        range("a", Some("a"), Some("m")),
        range("b", Some("c"), Some("x")),
    ];
    let [(key, problem)] = &problems(&crossing)[..] else {
        panic!("one problem");
    };
    assert_eq!(key, "shards[2]");
    assert!(
        problem.contains("b from c until x crosses shards[1], a from a until m"),
        "{problem}"
    );

    let equal = [
        rest("rest"),
        prefix("a", "org."),
        range("b", Some("org."), Some("org/")),
    ];
    let [(key, problem)] = &problems(&equal)[..] else {
        panic!("one problem");
    };
    assert_eq!(key, "shards[2]");
    assert!(
        problem.contains("b from org. until org/ is the same as shards[1], a prefix org."),
        "{problem}"
    );
    assert_eq!(problems(&[rest("a"), rest("b")])[0].0, "shards[1]");
}

#[test]
fn what_is_no_share_is_refused_with_what_would_be_right() {
    for (shares, key, expected) in [
        (vec![share("a")], "shards[0]", "either prefix"),
        (
            vec![ShareKeys {
                rest: true,
                ..prefix("a", "x")
            }],
            "shards[0]",
            "either prefix",
        ),
        (
            vec![ShareKeys {
                from: Some("b".into()),
                ..prefix("a", "x")
            }],
            "shards[0]",
            "either prefix",
        ),
        (vec![rest("a.b")], "shards[0].name", "letters, digits"),
        (vec![rest("")], "shards[0].name", "letters, digits"),
        (
            vec![rest("a"), prefix("b", "")],
            "shards[1].prefix",
            "printable ASCII",
        ),
        (
            vec![rest("a"), prefix("b", "x y")],
            "shards[1].prefix",
            "printable ASCII",
        ),
        (
            vec![rest("a"), range("b", Some("n"), Some("n"))],
            "shards[1].until",
            "after n",
        ),
        (vec![prefix("a", "org.")], "shards", "rest: true"),
        (vec![range("a", None, Some("m"))], "shards", "from \"m\" on"),
    ] {
        let (found, problem) = &problems(&shares)[0];
        assert_eq!(found, key, "{shares:?}");
        assert!(problem.contains(expected), "{problem}");
    }
    let many: Vec<ShareKeys> = (0..300).map(|n| prefix("a", &format!("{n:03}"))).collect();
    assert_eq!(problems(&many)[0].0, "shards");
    let long = Shards::parse(&"s".repeat(100), &[rest(&"n".repeat(40))]).unwrap_err();
    assert!(long[0].expected.contains("is no service"), "{long:?}");
}

#[test]
fn a_version_is_that_of_how_scopes_are_divided_not_of_how_it_is_written() {
    let version = |shares: &[ShareKeys]| Shards::parse(SERVICE, shares).unwrap().version;
    let one = version(&[rest("r"), prefix("a", "org.")]);
    let other = version(&[range("a", Some("org."), Some("org/")), rest("r")]);
    assert_eq!(one, other);
    for shares in [
        vec![rest("r"), prefix("b", "org.")],
        vec![rest("r"), prefix("a", "org")],
        vec![rest("r")],
    ] {
        assert_ne!(one, version(&shares));
    }
    assert_eq!(Shards::none().version, "00000000");
}

#[test]
fn clients_are_told_shares_and_ranges() {
    let shares = [
        rest("r"),
        prefix("a", "x."),
        range("r", Some("x.m"), Some("x.n")),
    ];
    let map = Shards::parse(SERVICE, &shares).unwrap();
    let reply: serde_json::Value = serde_json::from_slice(&map.reply()).unwrap();
    let expected = serde_json::json!({
        "version": map.version,
        "shards": [
            {"name": "r", "service": "org.plantd.State.r",
             "shares": [{"rest": true}, {"from": "x.m", "until": "x.n"}]},
            {"name": "a", "service": "org.plantd.State.a", "shares": [{"prefix": "x."}]}],
        "ranges": [{"from": "", "shard": "r"}, {"from": "x.", "shard": "a"}, {"from": "x.m", "shard": "r"},
                   {"from": "x.n", "shard": "a"}, {"from": "x/", "shard": "r"}],
    });
    assert_eq!(reply["data"], expected);
}

#[test]
fn a_shard_refuses_what_another_one_has_and_says_which() {
    let map = Shards::parse(SERVICE, &[rest("r"), prefix("a", "x.")]).unwrap();
    let own = Arc::new(map).own("a").unwrap();
    assert_eq!(own.check(&Scope::parse("x.y").unwrap()), Ok(()));
    let refusal = own.check(&Scope::parse("y").unwrap()).unwrap_err();
    assert_eq!(refusal.code, Code::WrongShard);
    let data = serde_json::json!({"scope": "y", "shard": "r", "service": "org.plantd.State.r"});
    assert_eq!(serde_json::Value::Object(refusal.data), data);
}

/// Every text of up to four of these letters. With bounds of up to two of those in the middle, shares
/// that differ in some scope differ in one of these.
fn universe() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut longest = all.clone();
    for _ in 0..4 {
        let grow =
            |text: &String| ['a', 'b', 'c', 'd', 'e'].map(|letter| format!("{text}{letter}"));
        longest = longest.iter().flat_map(grow).collect();
        all.extend(longest.iter().cloned());
    }
    all.split_off(1)
}

/// The scopes of a share, one by one.
fn members(share: &ShareKeys, universe: &[String]) -> BTreeSet<String> {
    let is_in = |scope: &&String| match share {
        ShareKeys { rest: true, .. } => true,
        ShareKeys {
            prefix: Some(prefix),
            ..
        } => scope.starts_with(prefix.as_str()),
        ShareKeys { from, until, .. } => {
            from.as_ref().is_none_or(|from| *scope >= from)
                && until.as_ref().is_none_or(|until| *scope < until)
        }
    };
    universe.iter().filter(is_in).cloned().collect()
}

fn any_share() -> impl Strategy<Value = ShareKeys> {
    let bound = "[bcd]{1,2}";
    prop_oneof![
        3 => (any_name(), bound).prop_map(|(name, text)| prefix(&name, &text)),
        2 => (any_name(), bound, bound).prop_filter_map("from before until", |(name, from, until)| {
            (from < until).then(|| range(&name, Some(&from), Some(&until)))
        }),
        1 => (any_name(), bound).prop_map(|(name, from)| range(&name, Some(&from), None)),
        1 => (any_name(), bound).prop_map(|(name, until)| range(&name, None, Some(&until))),
    ]
}

fn any_name() -> impl Strategy<Value = String> {
    "[xyz]"
}

proptest! {
    #[test]
    fn a_map_does_as_a_look_at_every_share_would(
        mut shares in proptest::collection::vec(any_share(), 0..6),
        has_rest in proptest::bool::weighted(0.9),
    ) {
        shares.extend(has_rest.then(|| rest("r")));
        let universe = universe();
        let sets: Vec<BTreeSet<String>> = shares.iter().map(|it| members(it, &universe)).collect();
        let collides = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            one == other
                || !one.is_disjoint(other) && !one.is_subset(other) && !other.is_subset(one)
        };
        let has_collision = (0..sets.len())
            .any(|later| sets[..later].iter().any(|earlier| collides(earlier, &sets[later])));
        let is_whole = universe.iter().all(|scope| sets.iter().any(|set| set.contains(scope)));
        let parsed = Shards::parse(SERVICE, &shares);
        if shares.is_empty() {
            prop_assert_eq!(parsed, Ok(Shards::none()));
            return Ok(());
        }
        prop_assert_eq!(parsed.is_ok(), !has_collision && is_whole, "{:?}", parsed);
        let Ok(map) = parsed else { return Ok(()) };
        for scope in &universe {
            let around = sets.iter().zip(&shares).filter(|(set, _)| set.contains(scope));
            let (_, innermost) = around.min_by_key(|(set, _)| set.len()).unwrap();
            prop_assert_eq!(shard_of(&map, scope), &innermost.name, "{}", scope);
        }
    }
}
