//! Knowledge from one fleet to another and back, over real TLS, with real files.

use std::time::Duration;

use prunella_engine::choose::{Book, Ending, Lesson};
use prunella_model::knowledge::{KnowledgeRecord, LORE_SCHEMA, Lore, PatternRecord, Subject};
use prunella_model::{CauseName, FleetName, RepairName, RuleName};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::learning_service_client::LearningServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::fixture::{Fleet, now};

const MINUTE: Duration = Duration::from_secs(60);

/// What another fleet has learned of so many services.
fn foreign(services: u32) -> Lore {
    let (mut book, now) = (Book::default(), now());
    let restart = RepairName::of("restart_service");
    for number in 0..services {
        let about = Subject {
            rule: RuleName::of("process_down"),
            kind: format!("service-{number}"),
            class: "process".to_owned(),
            symptom: None,
            cause: CauseName::of("killed"),
        };
        for ago in (1..=6).rev() {
            let at = now.before(MINUTE * 360 * ago);
            book.learn((&about, &[]), &restart, Lesson::Healed(Duration::from_secs(2)), (0.9, 0.0), at);
            let ending = Ending { opened: at, watched: MINUTE, alone: 0.0, untouched: false, escalated: false };
            book.note(&about, ending, at);
        }
    }
    let source = Some(FleetName::of("away"));
    let knowledge = book.knowledge().map(|it| KnowledgeRecord { source: source.clone(), ..it.clone() }).collect();
    let patterns = book.patterns().map(|it| PatternRecord { source: source.clone(), ..it.clone() }).collect();
    Lore { schema: LORE_SCHEMA, fleet: FleetName::of("away"), id: "0".repeat(32), knowledge, patterns }
}

async fn import(client: &mut LearningServiceClient<Channel>, json: &str) -> Result<(u32, u32, u32), tonic::Status> {
    let request = pb::ImportKnowledgeRequest { json: json.to_owned(), validate_only: false };
    let it = client.import_knowledge(request).await?.into_inner();
    Ok((it.new_records, it.restored_records, it.known_records))
}

async fn insights(client: &mut LearningServiceClient<Channel>) -> Vec<pb::Insight> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let page =
            client.list_insights(pb::ListInsightsRequest { page_size: 400, page_token }).await.unwrap().into_inner();
        all.extend(page.insights);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn knowledge_is_exported_imported_and_survives_a_restart() {
    let fleet = Fleet::start().await;
    let mut client = LearningServiceClient::new(fleet.admin().await);
    assert!(insights(&mut client).await.is_empty());
    // More than the engine takes in at once, and more than a page.
    let json = serde_json::to_string(&foreign(700)).unwrap();
    let check = pb::ImportKnowledgeRequest { json: json.clone(), validate_only: true };
    client.import_knowledge(check).await.unwrap();
    assert!(insights(&mut client).await.is_empty(), "it was only checked");
    assert_eq!(import(&mut client, &json).await.unwrap(), (1_400, 0, 0));
    assert_eq!(import(&mut client, &json).await.unwrap(), (0, 0, 1_400), "the same again changes nothing");
    let before = insights(&mut client).await;
    assert_eq!(before.len(), 700);
    let mut names: Vec<&str> = before.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 700, "pages cover the listing once");
    let it = before.first().unwrap();
    assert_eq!((it.incidents, it.incidents_elsewhere), (0, 6));
    let help = it.helps.first().unwrap();
    assert!(help.repair == "restart_service" && help.trials_elsewhere > 5.5 && help.low < help.chance, "{help:?}");

    let fleet = fleet.restart().await;
    let mut client = LearningServiceClient::new(fleet.admin().await);
    let after = insights(&mut client).await;
    assert_eq!(after.len(), 700);
    let exported = client.export_knowledge(pb::ExportKnowledgeRequest {}).await.unwrap().into_inner();
    assert_eq!(exported.records, 1_400);
    assert_eq!(import(&mut client, &exported.json).await.unwrap(), (0, 0, 1_400));
    let again = client.export_knowledge(pb::ExportKnowledgeRequest {}).await.unwrap().into_inner();
    assert_eq!((exported.json, exported.id), (again.json, again.id), "what comes back is what went out");
}

#[tokio::test]
async fn a_document_that_is_wrong_is_refused_with_its_place() {
    let fleet = Fleet::start().await;
    let mut client = LearningServiceClient::new(fleet.admin().await);
    let good = serde_json::to_value(foreign(2)).unwrap();
    let mut newer = good.clone();
    newer["schema"] = 2.into();
    newer["something"] = "new".into();
    let mut negative = good.clone();
    negative["knowledge"][1]["healed"] = (-1).into();
    let mut unknown = good.clone();
    unknown["more"] = 1.into();
    let mut bad_name = good.clone();
    bad_name["patterns"][0]["subject"]["rule"] = "No Name".into();
    for (document, why) in [
        (newer.to_string(), "schema 2 is not 1"),
        (negative.to_string(), "knowledge[1]: healed and failed"),
        (unknown.to_string(), "unknown field `more`"),
        (bad_name.to_string(), "No Name"),
        (good.to_string().split_at(900).0.to_owned(), "is no document of knowledge"),
        (String::new(), "is no document of knowledge"),
    ] {
        let error = import(&mut client, &document).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{why}: {error}");
        assert!(error.message().contains(why), "{why}: {error}");
    }
    assert!(insights(&mut client).await.is_empty());
}

#[tokio::test]
async fn the_outlook_of_a_target_that_nobody_knows_is_not_found() {
    let fleet = Fleet::start().await;
    let mut client = LearningServiceClient::new(fleet.admin().await);
    let ask = |name: &str| pb::GetTargetHealthRequest { name: name.to_owned() };
    assert_eq!(client.get_target_health(ask("hosts/h1/targets/web")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.get_target_health(ask("hosts/h1")).await.unwrap_err().code(), Code::InvalidArgument);
    let all = client.list_predictions(pb::ListPredictionsRequest::default()).await.unwrap().into_inner();
    assert!(all.predictions.is_empty(), "nothing is known, so nothing is foretold");
    let all = client.list_recommendations(pb::ListRecommendationsRequest::default()).await.unwrap().into_inner();
    assert!(all.recommendations.is_empty());
}
