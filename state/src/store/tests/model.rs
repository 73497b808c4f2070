//! The store against a map: whatever is written, both say the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::request::Page;
use crate::store::row::Event;

/// What is done, with keys and versions by number.
#[derive(Debug, Clone)]
enum Step {
    Set {
        key: u8,
        value: u16,
        condition: Guess,
    },
    Delete {
        key: u8,
        condition: Guess,
    },
    Batch(Vec<(u8, Option<u16>, Guess)>),
    DeletePrefix {
        prefix: u8,
        limit: u8,
    },
    DeleteScope,
    CreateScope,
    /// Gives a key a time that does not pass here, or takes it away.
    Touch {
        key: u8,
        has_time: bool,
    },
    Reopen,
    Restore,
    /// Goes on with a copy, as it is when the power fails.
    Copy,
}

/// A condition that may hold or not.
#[derive(Debug, Clone, Copy)]
enum Guess {
    None,
    Absent,
    Right,
    Wrong,
}

/// The simplest thing that does the same.
#[derive(Debug, Default)]
struct Model {
    exists: bool,
    sequence: u64,
    values: BTreeMap<String, (u64, String)>,
    /// What happened to each key since the scope was made: the sequence, and the value if it was set.
    changes: BTreeMap<String, Vec<(u64, Option<String>)>>,
    /// The same of keys of the scope before it was made anew.
    gone: Vec<(String, u64)>,
    /// Whether there was a restore, after which more is told than is kept, until it is looked through.
    is_restored: bool,
}

impl Model {
    /// The next change of a key.
    fn log(&mut self, key: &str, value: Option<String>) {
        self.sequence += 1;
        let changes = self.changes.entry(key.to_owned()).or_default();
        changes.push((self.sequence, value));
    }

    fn version(&self, key: &str) -> u64 {
        self.values.get(key).map_or(0, |(version, _)| *version)
    }

    fn condition(&self, key: &str, guess: Guess) -> Condition {
        match guess {
            Guess::None => Condition::None,
            Guess::Absent => Condition::Absent,
            Guess::Right => Condition::Version(self.version(key)),
            Guess::Wrong => Condition::Version(self.version(key) + 1),
        }
    }

    fn holds(&self, key: &str, guess: Guess) -> Option<Code> {
        match guess {
            Guess::None | Guess::Right => None,
            Guess::Absent => (self.version(key) > 0).then_some(Code::Exists),
            Guess::Wrong => Some(Code::VersionMismatch),
        }
    }

    /// What edits come to: the versions, or the code of the first that is refused.
    fn edit(&mut self, edits: &[(String, Option<String>, Guess)]) -> Result<Vec<Edited>, Code> {
        for (key, value, guess) in edits {
            if !self.exists && value.is_none() {
                return Err(Code::NoScope);
            }
            if let Some(code) = self.holds(key, *guess) {
                return Err(code);
            }
        }
        if !self.exists {
            self.exists = true;
            self.sequence += 1;
        }
        let mut edited = Vec::new();
        for (key, value, _) in edits {
            let previous = self.version(key);
            match value {
                Some(value) => {
                    self.log(key, Some(value.clone()));
                    self.values
                        .insert(key.clone(), (self.sequence, value.clone()));
                }
                None if previous > 0 => {
                    self.log(key, None);
                    self.values.remove(key);
                }
                None => {}
            }
            edited.push(Edited {
                version: self.sequence,
                previous,
            });
        }
        Ok(edited)
    }
}

fn guesses() -> impl Strategy<Value = Guess> {
    prop_oneof![
        4 => Just(Guess::None),
        1 => Just(Guess::Absent),
        1 => Just(Guess::Right),
        1 => Just(Guess::Wrong),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = 0_u8..12;
    let one = (keys.clone(), proptest::option::of(any::<u16>()), guesses());
    let step = prop_oneof![
        12 => (keys.clone(), any::<u16>(), guesses())
            .prop_map(|(key, value, condition)| Step::Set { key, value, condition }),
        6 => (keys, guesses()).prop_map(|(key, condition)| Step::Delete { key, condition }),
        6 => proptest::collection::vec(one, 1..5).prop_map(Step::Batch),
        2 => (0_u8..3, 1_u8..4).prop_map(|(prefix, limit)| Step::DeletePrefix { prefix, limit }),
        1 => Just(Step::DeleteScope),
        1 => Just(Step::CreateScope),
        2 => (0_u8..12, any::<bool>()).prop_map(|(key, has_time)| Step::Touch { key, has_time }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restore),
        1 => Just(Step::Copy),
    ];
    proptest::collection::vec(step, 1..60)
}

fn name(key: u8) -> String {
    format!("{}/{key}", key % 3)
}

fn edits_of(model: &Model, wanted: &[(String, Option<String>, Guess)]) -> Vec<Edit> {
    let edit = |(key, value, guess): &(String, Option<String>, Guess)| {
        let condition = model.condition(key, *guess);
        let mut edit = set(key, value.as_deref().unwrap_or("0"), condition);
        if value.is_none() {
            edit.action = Action::Delete;
        }
        edit
    };
    wanted.iter().map(edit).collect()
}

fn play(held: &mut Held, model: &mut Model, step: &Step) {
    let scope = Scope::parse(SCOPE).unwrap();
    let edits: Vec<(String, Option<String>, Guess)> = match step {
        Step::Set {
            key,
            value,
            condition,
        } => {
            vec![(name(*key), Some(value.to_string()), *condition)]
        }
        Step::Delete { key, condition } => vec![(name(*key), None, *condition)],
        Step::Batch(edits) => {
            let unique: BTreeMap<u8, _> = edits.iter().map(|it| (it.0, it)).collect();
            let edit = |(key, (_, value, guess)): (u8, &(u8, Option<u16>, Guess))| {
                (name(key), value.map(|value| value.to_string()), *guess)
            };
            unique.into_iter().map(edit).collect()
        }
        Step::DeletePrefix { prefix, limit } => {
            let (prefix, limit) = (format!("{prefix}/"), usize::from(*limit));
            let keys = model.values.keys().filter(|key| key.starts_with(&prefix));
            let keys: Vec<String> = keys.cloned().collect();
            let answer = held.write(Write::DeletePrefix {
                scope,
                prefix,
                limit,
            });
            if !model.exists {
                assert_eq!(answer.unwrap_err().code, Code::NoScope);
                return;
            }
            for key in keys.iter().take(limit) {
                model.log(key, None);
                model.values.remove(key);
            }
            let expected = Written::Prefix {
                deleted: keys.len().min(limit) as u64,
                has_more: keys.len() > limit,
                sequence: model.sequence,
            };
            assert_eq!(answer, Ok(expected));
            return;
        }
        Step::DeleteScope => {
            let answer = held.write(Write::DeleteScope(scope));
            assert_eq!(answer.is_ok(), model.exists);
            model.sequence += u64::from(model.exists);
            model.exists = false;
            model.values.clear();
            for (key, changes) in std::mem::take(&mut model.changes) {
                let gone = changes
                    .into_iter()
                    .map(|(sequence, _)| (key.clone(), sequence));
                model.gone.extend(gone);
            }
            return;
        }
        Step::CreateScope => {
            let answer = held.write(Write::CreateScope(scope));
            assert_eq!(answer.is_ok(), !model.exists);
            model.sequence += u64::from(!model.exists);
            model.exists = true;
            return;
        }
        Step::Touch { key, has_time } => {
            let mut edit = set(&name(*key), "0", Condition::None);
            let ttl = has_time.then_some(Duration::from_secs(3_600));
            edit.action = Action::Touch { ttl };
            let answer = held.write(Write::Edit(edit));
            assert_eq!(answer.is_ok(), model.version(&name(*key)) > 0);
            return;
        }
        Step::Reopen => {
            held.reopen(|_| {});
            return;
        }
        Step::Restore => {
            held.restore();
            model.sequence += if model.sequence > 0 { 1 << 34 } else { 0 };
            model.is_restored = true;
            return;
        }
        Step::Copy => {
            let copy = beside(&held.options.database, "-next");
            held.copy(&copy);
            held.store.close();
            held.options.database = copy;
            held.begin();
            return;
        }
    };
    let answer = held.write(Write::Batch(edits_of(model, &edits)));
    let expected = model.edit(&edits);
    match (answer, expected) {
        (Ok(Written::Batch(edited)), Ok(expected)) => assert_eq!(edited, expected),
        (Err(refusal), Err(code)) => assert_eq!(refusal.code, code),
        (answer, expected) => panic!("{answer:?}, not {expected:?}"),
    }
}

fn compare(held: &Held, model: &Model) {
    compare_pages(held, model, 100);
    compare_pages(held, model, 2);
    let scope = Scope::parse(SCOPE).unwrap();
    for key in (0..12).map(name) {
        let found = held
            .store
            .value_or_scope(&scope, &Key::parse(&key).unwrap())
            .unwrap();
        let found = found.map(|entry| (entry.version, text(&entry)));
        match model.values.get(&key) {
            Some(value) => assert_eq!(found.as_ref(), Ok(value)),
            None => assert_eq!(found.unwrap_err().is_some(), model.exists),
        }
    }
}

fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.data().to_vec()).unwrap()
}

/// Compares all keys, so many at a time.
fn compare_pages(held: &Held, model: &Model, limit: usize) {
    let scope = Scope::parse(SCOPE).unwrap();
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = Page {
            prefix: String::new(),
            after: after.take(),
            limit,
        };
        let read = |has_values| held.store.keys(&scope, &page, has_values).unwrap();
        let listed = read(true);
        // Without what is in memory it is the same.
        let without = held
            .store
            .read(|reader| reader.keys(&scope, &page, true, None));
        assert_eq!(without.unwrap(), listed);
        assert_eq!(listed.is_some(), model.exists);
        let Some(listed) = listed else { return };
        assert_eq!(listed.sequence, model.sequence);
        let keys = listed.entries.iter().map(|(key, _)| key.clone());
        let names = read(false).unwrap();
        assert!(keys.eq(names.entries.into_iter().map(|(key, _)| key)));
        assert_eq!(names.has_more, listed.has_more);
        after = listed.entries.last().map(|(key, _)| key.to_string());
        for (key, entry) in listed.entries {
            let entry = entry.unwrap();
            found.insert(key.to_string(), (entry.version, text(&entry)));
        }
        if !listed.has_more {
            break;
        }
    }
    assert_eq!(found, model.values);
}

/// That the history of each key is a chain from the newest change on, of what the log has and of the newest
/// beyond it.
fn compare_histories(held: &Held, model: &Model) {
    if !model.exists {
        return;
    }
    let (row, per_key) = (held.row(), held.options.history_per_key);
    for (key, changes) in &model.changes {
        let told = held.history(key).unwrap();
        for (told, (sequence, value)) in told.iter().zip(changes.iter().rev()) {
            let event = if value.is_some() {
                Event::Set
            } else {
                Event::Delete
            };
            let data = |value: &Value| String::from_utf8(value.data().to_vec()).unwrap();
            assert_eq!((told.sequence, told.event), (*sequence, event));
            assert_eq!(told.value.as_ref().map(data), *value);
            assert_eq!(held.change(key, *sequence).as_ref(), Some(told));
        }
        let logged = changes.iter().filter(|change| change.0 > row.floor).count();
        assert!(
            told.len() >= logged.max(per_key.min(changes.len())),
            "{key} {row:?}"
        );
        if per_key == 0 || !model.is_restored {
            assert!(told.len() <= logged + per_key, "{key} {row:?}");
        }
        for (sequence, _) in &changes[..changes.len() - told.len()] {
            assert_eq!(held.change(key, *sequence), None);
        }
    }
    for (key, sequence) in &model.gone {
        assert_eq!(held.change(key, *sequence), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_and_a_map_say_the_same(steps in steps(), per_key in 0_usize..4) {
        let mut held = Held::with(|options| {
            options.history_count = 10;
            options.history_per_key = per_key;
        });
        let mut model = Model::default();
        for step in &steps {
            play(&mut held, &mut model, step);
            compare(&held, &model);
            compare_histories(&held, &model);
        }
        held.store.check(&mut |_, _| true).unwrap();
    }
}
