package shop;

public record QuoteRequest(String article, int pieces) {}
