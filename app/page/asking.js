// Predictions: of questions that stay, and of what is live and gone the next moment.

import { ask, endOf, Refused } from "./api.js";
import { dataUrl, divided, outgoing } from "./sending.js";

/** Predict questions; each gets its prediction or its problem. Throws Refused and Unreachable. */
export async function predict(project, questions, limits) {
  const blobs = await outgoing(questions.map(({ picture }) => picture), project.settings);
  const items = questions.map((question, place) => ({ question, blob: blobs[place] }));
  for (let call of divided(items, "max_query_images", limits)) {
    for (let answered = false; !answered; ) {
      try {
        await predictCall(project, call);
        answered = true;
      } catch (error) {
        const broken = brokenPlaces(error);
        if (broken.size === 0) throw error;
        call = call.filter(({ question }, place) => {
          if (broken.has(place)) question.problem = broken.get(place);
          return !broken.has(place);
        });
        answered = call.length === 0;
      }
    }
  }
  project.changed();
}

async function predictCall(project, items) {
  const images = await Promise.all(items.map(({ blob }) => dataUrl(blob)));
  const { id } = project.session;
  const answer = await ask("POST", "predict", { json: { session_id: id, images } });
  moveEnd(project, answer);
  items.forEach(({ question }, place) => {
    question.prediction = answer.told.predictions[place];
    question.problem = null;
  });
  project.log.push({ did: "predict", pictures: items.map(({ question }) => question.picture) });
}

/** Predict one image that nobody keeps, without patience: the next one is newer. */
export async function predictLive(project, blob) {
  const json = { session_id: project.session.id, images: [await dataUrl(blob)] };
  const answer = await ask("POST", "predict", { json, patient: false });
  moveEnd(project, answer);
  return answer.told.predictions[0];
}

function moveEnd(project, answer) {
  if (project.session?.id === answer.told.session_id) project.session.endsAt = endOf(answer);
}

function brokenPlaces(error) {
  if (!(error instanceof Refused)) return new Map();
  return new Map(error.about("images").map(({ index, message }) => [index, message]));
}
