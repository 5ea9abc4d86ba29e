"""Random rankings with graded judgements and what pytrec_eval says of them, as JSON in the file of the first argument."""
import json
import random
import sys

import pytrec_eval

random.seed(5)
queries = []
for number in range(60):
    documents = [f"d{i}" for i in range(random.randint(1, 40))]
    judged = {d: random.choice([0, 0, 1, 1, 2, 3]) for d in documents if random.random() < 0.5}
    judged[f"missing{number}"] = 2  # relevant, never ranked
    ranking = documents[:]
    random.shuffle(ranking)
    queries.append({"ranking": ranking, "judged": judged})

qrels = {str(i): q["judged"] for i, q in enumerate(queries)}
run = {str(i): {d: float(len(q["ranking"]) - p) for p, d in enumerate(q["ranking"])} for i, q in enumerate(queries)}
cuts = [1, 3, 5, 10, 100]
names = ["recall", "P", "success", "ndcg_cut", "map_cut"]
measures = {name + "." + ",".join(map(str, cuts)) for name in names}
scores = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
for i, query in enumerate(queries):
    query["scores"] = {str(k): [scores[str(i)][f"{name}_{k}"] for name in names] for k in cuts}
    # recip_rank has no cut: it is taken of the cut run
    query["mrr"] = {}
for k in cuts:
    cut = {q: dict(sorted(d.items(), key=lambda e: -e[1])[:k]) for q, d in run.items()}
    reciprocal = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
    for i, query in enumerate(queries):
        query["mrr"][str(k)] = reciprocal[str(i)]["recip_rank"]
with open(sys.argv[1], "w") as out:
    json.dump(queries, out)
