/* What the engine is asked to do. Plain data: no JSON, no text of the prompt below here. */
#ifndef VALET_REQUEST_H
#define VALET_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct valet_bias {
    int32_t id;
    float bias; /* added to the logit; -100..100 */
};

/*
 * How a token is drawn; every field zero is "off". The draw depends on these, on (seed,
 * choice, position), on the tokens before and on the logits alone. Order of the steps: bias
 * and masks, penalties, DRY; then temperature 0 takes the largest; else top_n_sigma, top_k,
 * typical_p, top_p, min_p, XTC, temperature, draw in the order of ids.
 */
struct valet_sampling {
    float temperature; /* 0: the most likely token, lowest id on a tie */
    float top_p;       /* (0, 1]; 0 or 1: off */
    int32_t top_k;     /* 0: off */
    uint64_t seed;
    float min_p;       /* drops p < min_p * p_max; 0: off */
    float typical_p;   /* (0, 1]; 0 or 1: off */
    float top_n_sigma; /* keeps logits >= max - n * sigma; <= 0: off */
    float xtc_probability;
    float xtc_threshold;

    float presence_penalty;   /* -2..2, over generated tokens */
    float frequency_penalty;  /* -2..2, over generated tokens */
    float repetition_penalty; /* over prompt and generated tokens; 0 or 1: off */
    int32_t repeat_last_n;    /* tokens that repetition_penalty looks back; 0: all */

    float dry_multiplier; /* 0: off */
    float dry_base;
    int32_t dry_allowed_length;
    int32_t dry_last_n;          /* tokens that DRY looks back; 0: all */
    const int32_t *dry_breakers; /* [dry_breaker_count] tokens that end a repeat */
    uint32_t dry_breaker_count;

    int32_t mirostat; /* 1 or 2: replaces the steps from top_n_sigma to XTC; 0: off */
    float mirostat_tau;
    float mirostat_eta;

    const struct valet_bias *bias; /* [bias_count] */
    uint32_t bias_count;
};

/* A text that ends the answer; it is cut off. 1..256 bytes. */
struct valet_stop {
    const char *text;
    uint32_t len;
};

#define VALET_STOPS_MAX 16
#define VALET_STOP_BYTES_MAX 256
#define VALET_STOP_IDS_MAX 64
#define VALET_BIAS_MAX 1024
#define VALET_TOP_LOGPROBS_MAX 20

struct valet_request {
    const int32_t *prompt; /* [prompt_count] token ids, 0 <= id < vocabulary */
    int32_t prompt_count;  /* 1..context-1 */
    int32_t max_new;       /* tokens to generate at most, >= 1; prompt_count + max_new <= context.
                              0 only with prompt_logprobs: then nothing is generated */
    struct valet_sampling sampling;

    const struct valet_stop *stops; /* [stop_count] */
    uint32_t stop_count;
    const int32_t *stop_ids; /* [stop_id_count] tokens that end the answer, besides the model's */
    uint32_t stop_id_count;
    int32_t min_tokens; /* end tokens are masked and stop strings ignored before */
    bool ignore_eos;    /* the model's end tokens are masked */
    bool include_stop;  /* the stop string stays in the answer */
    bool continues;     /* the answer goes on in the text of the prompt. Else it is a text of its
                           own, without the space that SentencePiece puts before each text */

    bool logprobs;        /* events carry the token's logprob and top_logprobs more */
    int32_t top_logprobs; /* 0..VALET_TOP_LOGPROBS_MAX */
    bool prompt_logprobs; /* and a VALET_EVENT_PROMPT for each prompt token comes first */
    uint64_t cache_salt;  /* prefixes are shared between requests of one salt only */
};

#ifdef __cplusplus
}
#endif

#endif
