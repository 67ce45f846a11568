use super::*;
use crate::diagnostics::Source;
use crate::seclang::parse;
use crate::seclang::source::MemoryLoader;

const RULES: &str = r#"SecDefaultAction "phase:2,log,pass,t:lowercase"
SecAction "id:10,phase:1,pass,nolog,setvar:tx.detection_paranoia_level=2"
SecRule REQUEST_FILENAME "@beginsWith /admin" "id:11,phase:1,pass,nolog,chain"
    SecRule REMOTE_ADDR "@ipMatch 10.0.0.0/8" "ctl:ruleRemoveTargetById=90-120;ARGS:note"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:12,phase:2,pass,nolog,skipAfter:END"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:13,phase:1,pass,nolog,skipAfter:END"
SecRule &ARGS:a|ARGS|!ARGS:/^x/ "!@rx ^[a-z]+$" \
    "id:100,block,t:none,t:urlDecodeUni,msg:'Odd value',severity:CRITICAL,tag:'attack-odd',tag:'paranoia-level/2',capture,chain"
    SecRule REQUEST_METHOD "@streq POST" "setvar:tx.score=+5"
SecRule ARGS "@rx b" "id:101,phase:2,deny,status:405,msg:'Other'"
SecMarker END
SecRuleRemoveById 50-60 "99-100"
SecRuleRemoveByTag odd
SecRuleUpdateTargetById 100 "!ARGS:free"
SecRuleRemoveByMsg "^Other"
SecRule ARGS:late "@rx ." "id:200,phase:5,pass,ctl:ruleRemoveByTag=attack-odd"
"#;

fn explained(id: u32) -> Explanation {
    let (ruleset, problems) = parse(&Source::new("my.conf", RULES), &MemoryLoader::new());
    assert!(!problems.has_errors(), "{problems}");
    explain(&ruleset, id).unwrap()
}

#[test]
fn a_chain_with_everything_that_acts_on_it() {
    let found = explained(100);
    assert_eq!((found.phase, found.paranoia), (2, Some(2)));
    assert_eq!((found.message.as_deref(), found.severity.as_deref()), (Some("Odd value"), Some("CRITICAL")));
    assert_eq!(found.place, Place { file: "my.conf".into(), line: 7 });
    assert_eq!(found.tags, ["attack-odd", "paranoia-level/2"]);
    let texts = |pieces: &[Piece]| pieces.iter().map(|piece| piece.text.clone()).collect::<Vec<_>>();
    let [first, second] = found.links.as_slice() else { panic!("{found:?}") };
    assert_eq!(texts(&first.targets), ["&ARGS:a", "ARGS", "!ARGS:/^x/"]);
    assert_eq!(texts(&first.transformations), ["urlDecodeUni"]);
    assert!(first.is_negated && first.operator.as_ref().is_some_and(|operator| operator.text == "!@rx ^[a-z]+$"));
    assert_eq!(texts(&first.actions), ["capture"]);
    assert_eq!(texts(&second.transformations), ["lowercase"], "links inherit too");
    assert_eq!(texts(&second.actions), ["setvar:'tx.score=+5'"]);
    assert_eq!(found.effect.action, "pass");
    assert_eq!(found.effect.default.as_ref().map(|place| place.line), Some(1));
    let rules = |influences: &[Influence]| influences.iter().map(|each| each.rule).collect::<Vec<_>>();
    assert_eq!(rules(&found.skipped_by), [Some(12)]);
    assert_eq!(rules(&found.changed_by), [None, None, None, Some(11), Some(200)]);
    let last = &found.changed_by[4];
    assert!(last.void.is_some() && found.changed_by[3].void.is_none());
    let when = found.changed_by[3].when.as_deref();
    assert_eq!(when, Some("REQUEST_FILENAME @beginsWith /admin and REMOTE_ADDR @ipMatch 10.0.0.0/8"));
}

#[test]
fn defaults_are_inherited_unless_forgotten() {
    let found = explained(101);
    assert_eq!(found.links[0].transformations[0].text, "lowercase");
    assert_eq!((found.effect.action.as_str(), found.effect.meaning.as_str()), ("deny", "Answers with status 405."));
    assert!(found.effect.default.is_none());
    assert_eq!(
        found.changed_by.iter().map(|each| each.text.as_str()).collect::<Vec<_>>(),
        ["SecRuleRemoveByMsg \"^Other\"", "ctl:'ruleRemoveTargetById=90-120;ARGS:note'"]
    );
}

#[test]
fn it_reads_as_text() {
    let text = explained(100).to_string();
    for part in [
        "rule 100 at my.conf:7\n  Odd value\n  phase 2 (request body), severity CRITICAL, from paranoia level 2 on\n",
        "  tags: attack-odd, paranoia-level/2\n",
        "\nCondition\n  looks at\n    &ARGS:a  ",
        "  after\n    urlDecodeUni  ",
        "  and matches where this is not so\n    !@rx ^[a-z]+$  ",
        "\nAnd, as the next link of the chain\n  looks at\n    REQUEST_METHOD  ",
        "\nEffect\n    pass  ",
        " (SecDefaultAction at my.conf:1)\n",
        "\nPassed over by\n  skipAfter:END\n    rule 12 at my.conf:5, when TX:DETECTION_PARANOIA_LEVEL @lt 2\n",
        "\nTaken away or changed by\n  SecRuleRemoveById 50-60 99-100\n    at my.conf:12\n",
        "; without effect: it runs after the rule\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(explain(&Ruleset::default(), 1).is_none());
}
