from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RowErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROW_ERROR_CODE_UNSPECIFIED: _ClassVar[RowErrorCode]
    ROW_ERROR_CODE_INVALID_ARGUMENT: _ClassVar[RowErrorCode]
ROW_ERROR_CODE_UNSPECIFIED: RowErrorCode
ROW_ERROR_CODE_INVALID_ARGUMENT: RowErrorCode

class RowError(_message.Message):
    __slots__ = ("row", "code", "reason")
    ROW_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    row: int
    code: RowErrorCode
    reason: str
    def __init__(self, row: _Optional[int] = ..., code: _Optional[_Union[RowErrorCode, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "version", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_micros", "tokenize_micros", "infer_micros")
    QUEUE_MICROS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZE_MICROS_FIELD_NUMBER: _ClassVar[int]
    INFER_MICROS_FIELD_NUMBER: _ClassVar[int]
    queue_micros: int
    tokenize_micros: int
    infer_micros: int
    def __init__(self, queue_micros: _Optional[int] = ..., tokenize_micros: _Optional[int] = ..., infer_micros: _Optional[int] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("query", "titles", "model")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TITLES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    query: str
    titles: _containers.RepeatedScalarFieldContainer[str]
    model: ModelVersion
    def __init__(self, query: _Optional[str] = ..., titles: _Optional[_Iterable[str]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class TitleScore(_message.Message):
    __slots__ = ("title", "score", "label", "error")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    title: str
    score: float
    label: str
    error: RowError
    def __init__(self, title: _Optional[str] = ..., score: _Optional[float] = ..., label: _Optional[str] = ..., error: _Optional[_Union[RowError, _Mapping]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("results", "model", "timings")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[TitleScore]
    model: ModelVersion
    timings: Timings
    def __init__(self, results: _Optional[_Iterable[_Union[TitleScore, _Mapping]]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class ScoreBatchRequest(_message.Message):
    __slots__ = ("queries", "titles", "query_index", "title_index", "model")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    TITLES_FIELD_NUMBER: _ClassVar[int]
    QUERY_INDEX_FIELD_NUMBER: _ClassVar[int]
    TITLE_INDEX_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedScalarFieldContainer[str]
    titles: _containers.RepeatedScalarFieldContainer[str]
    query_index: _containers.RepeatedScalarFieldContainer[int]
    title_index: _containers.RepeatedScalarFieldContainer[int]
    model: ModelVersion
    def __init__(self, queries: _Optional[_Iterable[str]] = ..., titles: _Optional[_Iterable[str]] = ..., query_index: _Optional[_Iterable[int]] = ..., title_index: _Optional[_Iterable[int]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class ScoreBatchResponse(_message.Message):
    __slots__ = ("scores", "labels", "errors", "model", "timings", "max_text_bytes")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    labels: _containers.RepeatedScalarFieldContainer[int]
    errors: _containers.RepeatedCompositeFieldContainer[RowError]
    model: ModelVersion
    timings: Timings
    max_text_bytes: int
    def __init__(self, scores: _Optional[_Iterable[float]] = ..., labels: _Optional[_Iterable[int]] = ..., errors: _Optional[_Iterable[_Union[RowError, _Mapping]]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., max_text_bytes: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("query", "title", "model")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    query: str
    title: str
    model: ModelVersion
    def __init__(self, query: _Optional[str] = ..., title: _Optional[str] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class WordContribution(_message.Message):
    __slots__ = ("word", "contribution", "standard_error")
    WORD_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    word: str
    contribution: float
    standard_error: float
    def __init__(self, word: _Optional[str] = ..., contribution: _Optional[float] = ..., standard_error: _Optional[float] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("query", "title", "unread_query_words", "unread_title_words", "score", "label", "logit", "baseline_logit", "exact", "pairs", "model", "timings")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    UNREAD_QUERY_WORDS_FIELD_NUMBER: _ClassVar[int]
    UNREAD_TITLE_WORDS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    BASELINE_LOGIT_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    query: _containers.RepeatedCompositeFieldContainer[WordContribution]
    title: _containers.RepeatedCompositeFieldContainer[WordContribution]
    unread_query_words: int
    unread_title_words: int
    score: float
    label: str
    logit: float
    baseline_logit: float
    exact: bool
    pairs: int
    model: ModelVersion
    timings: Timings
    def __init__(self, query: _Optional[_Iterable[_Union[WordContribution, _Mapping]]] = ..., title: _Optional[_Iterable[_Union[WordContribution, _Mapping]]] = ..., unread_query_words: _Optional[int] = ..., unread_title_words: _Optional[int] = ..., score: _Optional[float] = ..., label: _Optional[str] = ..., logit: _Optional[float] = ..., baseline_logit: _Optional[float] = ..., exact: _Optional[bool] = ..., pairs: _Optional[int] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_rows", "max_text_bytes", "max_message_bytes", "max_queued_tokens", "max_query_tokens", "max_title_tokens")
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_QUERY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TITLE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_rows: int
    max_text_bytes: int
    max_message_bytes: int
    max_queued_tokens: int
    max_query_tokens: int
    max_title_tokens: int
    def __init__(self, max_rows: _Optional[int] = ..., max_text_bytes: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_queued_tokens: _Optional[int] = ..., max_query_tokens: _Optional[int] = ..., max_title_tokens: _Optional[int] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model", "sha256", "labels", "threshold", "limits")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    model: ModelVersion
    sha256: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    threshold: float
    limits: Limits
    def __init__(self, model: _Optional[_Union[ModelVersion, _Mapping]] = ..., sha256: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., threshold: _Optional[float] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...
